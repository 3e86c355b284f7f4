"""Three mistakes that a tired person makes with each command: each answer says what to type instead."""

from __future__ import annotations

import collections

import pytest

from cli.cli_helpers import Kube, Told, call
from cli.cli_world import shop
from cronix_cli.__main__ import SECTIONS


def _with(kube: Kube, *changes: str) -> Kube:
    for change in changes:
        if change == "no crd":
            kube.no_crd = True
        else:
            verb, plural = change.split()
            kube.denied.add((verb, plural))
    return kube


# (command line, what is wrong with the cluster, exit code, words that the answer must have)
MISTAKES: list[tuple[str, tuple[str, ...], int, tuple[str, ...]]] = [
    ("explian 0", (), 64, ('"explian" is no command', "try:   kubectl cronix explain")),
    ("billing/sync", (), 64, ("the command comes first", "kubectl cronix status billing/sync")),
    ("get", (), 64, ("kubectl cronix status",)),
    ("explain", (), 64, ("Missing argument", "explain --help")),
    ("explain * * * * * * *", (), 1, ("put the schedule in quotes",)),
    ("explain @hourly --tz europe/paris", (), 64, ("did you mean Europe/Paris?",)),
    ("explain 0_0_2_*_*_*", (), 1, ("there is no field for seconds",)),
    ("validate", (), 64, ("Missing argument", "validate --help")),
    ("validate nowhere.json", (), 66, ("No such file", "a URL, or -")),
    ("validate http://127.0.0.1:1", (), 69, ("refused", "is the app running?")),
    ("next biling", (), 66, ('no CronixApp "biling"', "perhaps: billing")),
    ("next billing/report-x", (), 66, ('has no job "report-x"', "billing/report")),
    ("next --within tomorrow", (), 64, ("write 90s, 15m, 24h or 7d",)),
    ("next -A -n shop", (), 64, ("-A is all namespaces",)),
    ("next", ("no crd",), 69, ("the CRD is not installed", "kubectl cronix doctor")),
    (
        "next",
        ("list cronixapps",),
        77,
        ("you may not list cronixapps", "kubectl auth can-i list cronixapps.cronix.dev"),
    ),
    ("next billing/settle-invoices/7", (), 66, ("billing/settle-invoices/0, billing/settle-invoices/1",)),
    ("next billing//0", (), 64, ("APP/JOB/INDEX",)),
    ("status biling", (), 66, ("perhaps: billing",)),
    ("status billing sync", (), 64, ("unexpected extra argument", "status --help")),
    ("status", ("list pods",), 77, ("you may not list pods", "kubectl auth can-i list pods")),
    ("history billing/ping/3", (), 66, ("no schedule with that index", "billing/ping/0")),
    ("history --tz Paris", (), 64, ("unknown time zone",)),
    ("history -n", (), 64, ("requires an argument",)),
    ("logs", (), 64, ("Missing argument",)),
    ("logs billing/ping", (), 66, ("has not run yet", "kubectl cronix next billing/ping")),
    ("logs billing --run 0193", (), 66, ("has not run yet",)),
    ("run billing", (), 64, ("name one of its jobs", "kubectl cronix run billing/JOB")),
    ("run billing/report", (), 73, ("is suspended", "kubectl cronix resume billing/report")),
    ("run billing/setle-invoices", (), 66, ("perhaps: billing/settle-invoices",)),
    ("run cxa/billing/ping --timeout soon", (), 64, ("write 90s",)),
    ("backfill billing/settle-invoices/0 2026-11-24T03:00", (), 64, ("is no slot of 0 2 * * *", "2026-11-24T02:00")),
    ("backfill billing/settle-invoices/0 yesterday", (), 64, ("is no time", "or last")),
    ("backfill billing/settle-invoices/0 2026-11-25T02:00", (), 64, ("has not come yet",)),
    ("backfill billing/ping last", (), 64, ("kubectl cronix run billing/ping",)),
    ("timeline --date friday", (), 64, ("is no day; write 2026-11-24, or tomorrow",)),
    ("timeline --tz cest", (), 64, ("unknown time zone",)),
    ("timeline biling", (), 66, ("perhaps: billing",)),
    ("report biling", (), 66, ("perhaps: billing",)),
    ("report --tz Berlin", (), 64, ("unknown time zone",)),
    ("report", ("no crd",), 69, ("the CRD is not installed", "kubectl cronix doctor")),
    ("verify", (), 64, ("Missing argument", "verify --help")),
    ("verify biling", (), 66, ("perhaps: billing",)),
    ("verify billing", (), 1, ('Service "billing" does not exist', "spec.source")),
    ("verify billing", ("get services",), 77, ("you may not read services", "kubectl auth can-i get services -n shop")),
    ("plan", (), 64, ("name an app, or give -f FILE", "kubectl cronix plan APP")),
    ("plan -f nowhere.yaml", (), 66, ("No such file",)),
    ("plan billing", (), 1, ('Service "billing" does not exist', "kubectl cronix verify billing")),
    ("doctor billing", (), 64, ("unexpected extra argument", "doctor --help")),
    ("doctor -n shpo", (), 1, ('"shpo" does not exist', "kubectl get namespaces")),
    ("doctor", ("no crd",), 1, ("is not installed", "helm install cronix")),
    ("suspend", (), 64, ("Missing argument",)),
    ("suspend billing/settle-invoices/0", (), 64, ("only the whole job", "suspend billing/settle-invoices")),
    ("suspend billing/reprot", (), 66, ("perhaps: billing/report",)),
    ("resume shop", (), 66, ('no CronixApp "shop"', "there are: billing, shipping")),
    ("resume billing/report/0", (), 64, ("kubectl cronix resume billing/report",)),
    ("resume billing", ("patch cronixapps",), 77, ("nothing was changed",)),
    ("reconcile", (), 64, ("Missing argument",)),
    ("reconcile biling", (), 66, ("perhaps: billing",)),
    ("reconcile billing --wait --timeout 1s", (), 75, ("the operator has not looked", "kubectl cronix doctor")),
]


@pytest.mark.parametrize(("line", "changes", "code", "words"), MISTAKES, ids=[m[0] + str(m[1] or "") for m in MISTAKES])
def test_a_mistake_is_answered_with_what_to_type_instead(
    line: str, changes: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    """The exit code is the documented one, the text is on standard error or is the answer itself; never a traceback."""
    told: Told = call(*(word.replace("_", " ") for word in line.split()), kube=_with(shop(), *changes))
    said = told.out + told.err
    assert told.code == code, said
    assert [word for word in words if word not in said] == [], said
    assert "Traceback" not in said


def test_each_command_has_three_of_them() -> None:
    """A new command brings its own."""
    counts = collections.Counter(line.split()[0] for line, *_ in MISTAKES)
    names = [name for section in SECTIONS.values() for name in section]
    assert [name for name in names if counts[name] < 3] == []
