"""What is typed: the options that commands share, and their values; a value that is none is Trouble that helps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import click

from cronix_cli.session import Session
from cronix_cli.trouble import Exit, Trouble

F = TypeVar("F", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose short options may be followed by `=`, as kubectl's may: `-o=json`."""

    def make_parser(self, ctx: click.Context) -> Any:
        """click looks up the text before a `=` among the long options only: let it find the short ones there, too.

        It also asks difflib for near misses of each short option before it looks at those, which costs more than the
        rest of the parsing (benchmarks/bench_cli.py); found at once, there is nothing to ask.
        """
        parser = super().make_parser(ctx)
        parser._long_opt.update(parser._short_opt)  # click has no public way; the tests notice a change
        return parser


def pass_session(command: F) -> F:
    """Give the Session as the first argument."""
    return cast("F", click.make_pass_decorator(Session)(command))


def _store(field: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        if value is not None and value is not False:
            setattr(context.ensure_object(Session), field, value)
        return value

    return store


def _option(field: str, *names: str, **extra: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_store(field), **extra)


def output_option(*formats: str) -> Callable[[F], F]:
    """-o with these formats; the first is the default."""
    return _option("output", "-o", "--output", type=click.Choice(formats), help="How to show the answer.")


ALL_FORMATS = ("table", "wide", "json", "yaml", "name")


def cluster_options(command: F) -> F:
    """-n, --context, --kubeconfig: which cluster and namespace."""
    for option in (
        _option("kubeconfig", "--kubeconfig", metavar="FILE", help="Path of the kubeconfig; else $KUBECONFIG."),
        _option("context", "--context", metavar="NAME", help="Context of the kubeconfig."),
        _option("namespace", "-n", "--namespace", metavar="NAME", help="Namespace; else the context's."),
    ):
        command = option(command)
    return command


def many_options(command: F) -> F:
    """-A and -l, for the commands that look at several apps."""
    for option in (
        _option("selector", "-l", "--selector", metavar="LABELS", help="Only CronixApps with these labels."),
        _option("all_namespaces", "-A", "--all-namespaces", is_flag=True, help="All namespaces."),
    ):
        command = option(command)
    return command


class KnownZones:
    """The names of the time zones; reading all of them from the disk is put off until one is not found."""

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or name.split("/")[0] in {"posix", "right", "posixrules"}:
            return False
        with contextlib.suppress(Exception):  # zoneinfo raises four kinds for names that are no zone
            ZoneInfo(name)
            return True
        return False

    def __iter__(self) -> Any:
        from zoneinfo import available_timezones

        return iter(sorted(available_timezones()))

    def __len__(self) -> int:
        return sum(1 for _ in self)


ZONES = KnownZones()


def zone_named(name: str) -> ZoneInfo:
    """The zone that --tz names; Trouble that says what was meant, by the rule that Kubernetes has for `timeZone`."""
    from cronix_protocol.zones import zone_fault

    if (wrong := zone_fault(name, ZONES)) is not None:
        raise Trouble(Exit.USAGE, f"--tz: {wrong}")
    return ZoneInfo(name)


def seconds_in(text: str, option: str) -> float:
    """A length of time such as 90s, 24h or 7d; Trouble for anything else."""
    from cronix_protocol.duration import DurationInvalid, parse_go_duration

    with contextlib.suppress(DurationInvalid, ValueError):
        days, unit, rest = text.partition("d")
        seconds = (int(days) * 86400 if unit else 0) + parse_go_duration((rest or "0") if unit else text) / 1e9
        if seconds > 0:
            return seconds
    raise Trouble(Exit.USAGE, f'{option}: "{text}" is no length of time; write 90s, 15m, 24h or 7d')
