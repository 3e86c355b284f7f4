// What Kubernetes' own schedule library answers: one JSON question a line in, one JSON answer a line out.
//
//	{"schedule":"30 2 * * *","timeZone":"Europe/Paris","from":1774742400,"count":6}
//	{"next":[1774749600,...]}   or   {"error":"..."}
//
// Times are seconds since the epoch; fewer than count: no further fire within five years. See README.md.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"
)

type question struct {
	Schedule string `json:"schedule"`
	TimeZone string `json:"timeZone"`
	From     int64  `json:"from"`
	Count    int    `json:"count"`
}

type answer struct {
	Next  []int64 `json:"next"`
	Error string  `json:"error,omitempty"`
}

func ask(q question) (a answer) {
	a.Next = []int64{}
	defer func() {
		if r := recover(); r != nil {
			a.Error = fmt.Sprintf("panic: %v", r)
		}
	}()
	schedule, err := cron.ParseStandard(q.Schedule)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	zone, err := time.LoadLocation(q.TimeZone)
	if err != nil {
		a.Error = err.Error()
		return a
	}
	at := time.Unix(q.From, 0).In(zone)
	for len(a.Next) < q.Count {
		if at = schedule.Next(at); at.IsZero() {
			break
		}
		a.Next = append(a.Next, at.Unix())
	}
	return a
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 0, 1<<16), 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	for in.Scan() {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := encoder.Encode(ask(q)); err != nil {
			os.Exit(1)
		}
	}
}
