"""Three mistakes that a tired person makes with each command: each answer says what to type instead."""

from __future__ import annotations

import pytest

from cli.cli_helpers import Kube, Told, call
from cli.cli_world import shop


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
