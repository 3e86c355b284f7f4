"""The report as one HTML page: no script, no other file, light and dark; pure. Everything that comes from outside goes
through `html.escape`, by `Text`: a string that is put into the page any other way is ours."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from cronix_cli.day import Day, DayRow, day_row
from cronix_cli.picture import AppSeen, Seen
from cronix_cli.table import cut
from cronix_cli.times import ago, rfc3339, span, wall
from cronix_operator.core.runs import ADVICE, Run

PARTS = 96
LAST_RUNS = 20
MAX_ROWS = 400  # of one table; a page for people, not an archive
_ROW, _PART, _LABEL = 18, 8, 230

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#5c6670;--line:#d8dee4;--card:#f6f8fa;--good:#1a7f37;
--bad:#c11c2b;--warn:#8a5a00;--fire:#54aeff;--now:#8250df}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#30363d;--card:#161b22;
--good:#3fb950;--bad:#ff7b72;--warn:#e3b341;--fire:#388bfd;--now:#bc8cff}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1180px;padding:24px;background:var(--bg);color:var(--fg);
font:15px/1.5 system-ui,"DejaVu Sans",sans-serif}
h1{font-size:22px;margin:0}h2{font-size:17px;margin:32px 0 8px}h3{font-size:15px;margin:0}
p{margin:4px 0}.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}.tile{flex:1 1 120px;background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:10px 14px}.tile b{display:block;font-size:24px;line-height:1.2}
.app{border:1px solid var(--line);border-radius:8px;margin:12px 0;overflow:hidden}
.app>header{background:var(--card);padding:10px 14px;border-bottom:1px solid var(--line)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:5px 10px;
border-top:1px solid var(--line);vertical-align:top}th{font-weight:600;color:var(--dim);border-top:0}
td{min-width:4em}td.whole,code{white-space:nowrap}td.text{min-width:12em;overflow-wrap:anywhere}
code{font:13px/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
svg{display:block;width:100%;min-width:760px;height:auto}
svg text{font:11px system-ui,"DejaVu Sans",sans-serif;fill:var(--dim)}
svg .name{fill:var(--fg)}ul{margin:4px 0;padding-left:20px}
@media print{body{max-width:none}.app{break-inside:avoid}}
"""


def render_page(apps: Sequence[AppSeen], day: Day, zone: ZoneInfo, now: datetime, title: str) -> str:
    """The whole page. `day` is drawn, times are shown in `zone`."""
    seen = [(app, job) for app in apps for job in app.jobs]
    late = [(app, job, slot) for app, job in seen if (slot := job.late(now)) is not None]
    failing = [(app, job) for app, job in seen if job.last is not None and job.last.failed]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        # Nothing may be loaded and nothing may run, whatever a browser finds in the text.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{_t(title)}</title><style>{STYLE}</style></head><body>",
        f'<h1>{_t(title)}</h1><p class="dim">made {_t(wall(now, zone))} by kubectl cronix report</p>',
        _tiles(apps, seen, failing, late),
        _attention(apps, failing, late, now),
        "<h2>The day</h2>",
        _day([day_row(job, day, PARTS) for _, job in seen], day, zone, now, several=len(apps) > 1),
        "<h2>Apps and jobs</h2>",
        *(_app(app, now, zone) for app in apps),
        "<h2>Last runs</h2>",
        _last_runs(seen, zone),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _t(text: object) -> str:
    """Text of others, safe in an element and in a quoted attribute."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))
    return html.escape(plain, quote=True)


def _tiles(apps: Sequence[AppSeen], seen: Sequence[object], failing: Sequence[object], late: Sequence[object]) -> str:
    ready = sum(app.condition("Ready").get("status") == "True" for app in apps)
    tiles = [
        (f"{ready}/{len(apps)}", "apps ready", "good" if ready == len(apps) else "bad"),
        (len(seen), "CronJobs", ""),
        (len(failing), "failing", "bad" if failing else "good"),
        (len(late), "late", "bad" if late else "good"),
    ]
    body = "".join(f'<div class="tile"><b class="{kind}">{_t(n)}</b>{name}</div>' for n, name, kind in tiles)
    return f'<div class="tiles">{body}</div>'


def _attention(
    apps: Sequence[AppSeen],
    failing: Iterable[tuple[AppSeen, Seen]],
    late: Iterable[tuple[AppSeen, Seen, datetime]],
    now: datetime,
) -> str:
    items = [
        _item("late", f"{job.line.label}: the slot of {rfc3339(slot)} ({ago(slot, now)}) has not started")
        for _, job, slot in late
    ]
    open_jobs = [(job.line.label, app.trouble(job, now)) for app in apps for job in app.jobs]
    items += [_item(trouble.word, f"{label}: {trouble.text}") for label, trouble in open_jobs if trouble is not None]
    for _, job in failing:
        run = job.last
        assert run is not None  # noqa: S101  # failing means that there is a last run
        said = f"{run.message}: {run.excerpt}" if run.excerpt else run.message
        streak = f", {job.streak} in a row" if job.streak > 1 else ""
        row = f"{job.line.label}{streak}, {ago(_end(run), now)}. {said}".rstrip(". ") + "."
        advice = ADVICE.get(run.outcome, "")
        items.append(_item(run.outcome, row, advice[:1].upper() + advice[1:]))
    for app in apps:
        ready = app.condition("Ready")
        if ready.get("status") != "True":
            reason = ready.get("reason") or "not seen by the operator yet"
            items.append(_item(str(reason), f"{app.name}. {ready.get('message', '')}"))
    if not items:
        return '<p class="good">Nothing is late, nothing fails, every app is in step.</p>'
    return f"<h2>What needs a look</h2><ul>{''.join(items)}</ul>"


def _item(word: str, text: str, advice: str = "") -> str:
    return f'<li><b class="bad">{_t(word)}</b> {_t(text)} <span class="dim">{_t(advice)}</span></li>'


def _end(run: Run) -> datetime:
    return run.finished or run.created


def _day(rows: Sequence[DayRow], day: Day, zone: ZoneInfo, now: datetime, *, several: bool) -> str:
    """A row for each job: a bar where it fires, the taller the more often; green and red what is known of its runs."""
    if not rows:
        return '<p class="dim">no job</p>'
    width, height = _LABEL + PARTS * _PART, len(rows) * _ROW + 22
    drawn = [
        f'<div class="scroll"><svg viewBox="0 0 {width} {height}" role="img" aria-label="when each job fires">',
        *(_hour_line(n, day, zone, len(rows)) for n in range(0, 25, 3)),
    ]
    for number, row in enumerate(rows):
        line = row.seen.line
        label = cut(line.label if several else f"{line.job}/{line.index}", 36, 2)
        told = f"{line.label} {line.schedule} {line.time_zone}"
        drawn.append(f'<text class="name" x="0" y="{number * _ROW + 13}">{_t(label)}<title>{_t(told)}</title></text>')
        drawn += [
            _bar(row, part, number, day, zone)
            for part in range(PARTS)
            if row.fires[part] or row.failed[part] or row.good[part]
        ]
    here = day.part(now, PARTS * 4)
    if here is not None:
        x = _LABEL + here * _PART / 4
        style = "stroke:var(--now);stroke-width:1.5"
        drawn.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{len(rows) * _ROW}" style="{style}"/>')
        drawn.append(f'<text x="{x + 3}" y="{height - 2}" style="fill:var(--now)">now</text>')
    return "\n".join([*drawn, "</svg></div>"]) + _legend()


def _hour_line(hour: int, day: Day, zone: ZoneInfo, rows: int) -> str:
    x = _LABEL + PARTS * _PART * hour / 24
    line = f'<line x1="{x}" x2="{x}" y1="0" y2="{rows * _ROW + 4}" style="stroke:var(--line)"/>'
    if hour == 24:
        return line
    moment = (day.start + (day.end - day.start) * hour / 24).astimezone(zone)
    return f'{line}<text x="{x + 2}" y="{rows * _ROW + 15}">{moment:%H:%M}</text>'


def _bar(row: DayRow, part: int, number: int, day: Day, zone: ZoneInfo) -> str:
    fires, failed, good = row.fires[part], row.failed[part], row.good[part]
    color = "bad" if failed else "good" if good else "fire"
    tall = min(14, 5 + 3 * max(fires, failed + good))
    moment = (day.start + (day.end - day.start) * part / PARTS).astimezone(zone)
    told = f"{moment:%H:%M} {row.seen.line.label}: {fires} due, {good} succeeded, {failed} failed"
    return (
        f'<rect x="{_LABEL + part * _PART}" y="{number * _ROW + 16 - tall}" width="{_PART - 2}" height="{tall}" rx="1" '
        f'style="fill:var(--{color})"><title>{_t(told)}</title></rect>'
    )


def _legend() -> str:
    parts = (("fire", "due by its schedule"), ("good", "a run that is still known succeeded"), ("bad", "a run failed"))
    return (
        "<p>"
        + " ".join(f'<span style="color:var(--{c})">■</span> <span class="dim">{t}</span>' for c, t in parts)
        + "</p>"
    )


def _app(app: AppSeen, now: datetime, zone: ZoneInfo) -> str:
    ready = app.condition("Ready")
    good = ready.get("status") == "True"
    verdict = ready.get("reason") or "not seen by the operator yet"
    if app.suspended:
        verdict = f"{verdict}, suspended"
    color = "good" if good else "bad"
    head = (
        f'<header><h3>{_t(app.namespace)}/{_t(app.name)} <span class="{color}">{_t(verdict)}</span></h3>'
        f'<p class="dim">{_t(ready.get("message", ""))}</p></header>'
    )
    rows = "".join(_job(job, now, zone) for job in app.jobs[:MAX_ROWS])
    rows += "".join(
        f'<tr><td>{_t(row.get("name"))}</td><td colspan="4" class="text"><b class="bad">{_t(row.get("reason"))}</b> '
        f"{_t(row.get('message', ''))}</td></tr>"
        for row in app.status.get("invalidJobs") or []
        if isinstance(row, dict)
    )
    more = len(app.jobs) - MAX_ROWS
    if more > 0:
        rows += f'<tr><td colspan="5" class="dim">and {more} more</td></tr>'
    titles = "<tr><th>Job</th><th>Schedule</th><th>Next</th><th>Last run</th><th>Outcome</th></tr>"
    return f'<section class="app">{head}<div class="scroll"><table>{titles}{rows}</table></div></section>'


def _job(job: Seen, now: datetime, zone: ZoneInfo) -> str:
    line, last = job.line, job.last
    following = next(line.fires(now), None)
    coming = f"{wall(following, zone)} ({ago(following, now)})" if following is not None else "never"
    if line.suspended:
        coming = "suspended"
    if job.active:
        coming = f"running; then {coming}"
    cells = [
        f'<td class="text">{_t(line.job)}/{line.index}</td>',
        f'<td><code>{_t(line.schedule)}</code> <span class="dim">{_t(line.time_zone)}</span></td>',
        f"<td>{_t(coming)}</td>",
        f"<td>{_t(ago(_end(last), now)) if last is not None else 'no run yet'}</td>",
        _outcome(last, job.streak),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _outcome(run: Run | None, streak: int) -> str:
    if run is None:
        return "<td></td>"
    kind = "warn" if run.finished is None else "bad" if run.failed else "good"
    parts = [run.outcome or "running", str(run.http_status or "")]
    parts += [f"{streak} in a row"] if run.failed and streak > 1 else []
    return f'<td class="{kind}">{_t(" ".join(filter(None, parts)))}</td>'


def _last_runs(seen: Iterable[tuple[AppSeen, Seen]], zone: ZoneInfo) -> str:
    runs = sorted(((run.created, run.job_name, job, run) for _, job in seen for run in job.runs), key=lambda r: r[:2])
    if not runs:
        return '<p class="dim">no run yet</p>'
    rows = "".join(_run(job, run, zone) for _, _, job, run in reversed(runs[-LAST_RUNS:]))
    titles = "".join(f"<th>{t}</th>" for t in ("Scheduled", "Job", "Start", "Took", "Tries", "Outcome", "Run", "Said"))
    return f'<div class="app scroll"><table><tr>{titles}</tr>{rows}</table></div>'


def _run(job: Seen, run: Run, zone: ZoneInfo) -> str:
    delay, took = run.start_delay_seconds, run.duration_seconds
    said = f"{run.message}: {run.excerpt}" if run.excerpt else run.message
    cells = [
        f'<td class="whole">{_t(wall(run.slot, zone) if run.slot is not None else "by hand")}</td>',
        f'<td class="text">{_t(job.line.label)}</td>',
        f"<td>{'' if delay is None else '+' + span(delay)}</td>",
        f"<td>{'' if took is None else span(took)}</td>",
        f"<td>{run.attempts or ''}</td>",
        _outcome(run, 0),
        f'<td><code title="{_t(run.run_id)}">{_t(cut(run.run_id, 13, 4))}</code></td>',
        f'<td class="text">{_t(said)}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"
