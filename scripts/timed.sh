#!/usr/bin/env bash
# timed.sh start NAME · timed.sh run "STEP" COMMAND… · timed.sh report NAME: says how long each step took.
set -euo pipefail
cd "$(dirname "$0")/.."
log=build/times.tsv
case "$1" in
  start)
    mkdir -p build && printf 'start\t%s\t%s\n' "$2" "$(date +%s)" > "$log" ;;
  run)
    step=$2; shift 2
    began=$(date +%s); code=0
    printf '\n==> %s\n' "$step"
    "$@" || code=$?
    printf 'step\t%s\t%s\n' "$step" "$(( $(date +%s) - began ))" >> "$log"
    if [ "$code" -ne 0 ]; then printf '==> %s failed (exit %s)\n' "$step" "$code" >&2; fi
    exit "$code" ;;
  report)
    awk -F '\t' -v now="$(date +%s)" -v name="$2" '
      $1 == "start" { start = $3 }
      $1 == "step" { printf "  %-24s %4d s\n", $2, $3 }
      END { printf "make %s: done in %d min %02d s\n", name, (now - start) / 60, (now - start) % 60 }' "$log" ;;
esac
