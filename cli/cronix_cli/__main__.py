"""`kubectl-cronix`: the door. Reads the clock and the environment, turns Trouble into words and an exit code."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_cli.trouble import EXIT_CODES, Exit, Trouble

# name -> (module, what the help says); the order is that of the help.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Look": {
        "status": ("status", "apps and jobs: next fire, last run, failures in a row, and why"),
        "next": ("next", "the coming fires of all jobs"),
        "history": ("history", "runs: slot, delay, duration, attempts, HTTP status, outcome"),
        "logs": ("logs", "what the signer said in one run; -f follows it"),
        "timeline": ("timeline", "a day in the terminal: when which job fires, what has failed"),
        "report": ("report", "all of it as one HTML page: kubectl cronix report > report.html"),
        "doctor": ("doctor", "what keeps jobs from running, and what to do"),
    },
    "Check an app": {
        "verify": ("verify", "fetch, signature, hosts; which key the app accepts"),
        "plan": ("plan", "what the operator would change; exit 2 if anything"),
    },
    "Act (with your own rights)": {
        "run": ("run", "a job now; --wait shows what came of it"),
        "backfill": ("backfill", "a past slot with its own scheduled time and run id"),
        "suspend": ("suspend", "start no more runs of an app or a job"),
        "resume": ("suspend", "start them again, from the next slot on"),
        "reconcile": ("reconcile", "read an app's manifest now; --wait shows the verdict"),
    },
    "Before it is deployed (no cluster needed)": {
        "explain": ("explain", "what a schedule means, when it fires, what will surprise you"),
        "validate": ("validate", "everything that is wrong with a manifest, each fault with its path"),
    },
}


class Commands(click.Group):
    """Loads a command when it is called, and only that one."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        for section in SECTIONS.values():
            if name in section:
                module = importlib.import_module(f"cronix_cli.commands.{section[name][0]}")
                command: click.Command = getattr(module, "next_" if name == "next" else name)
                command.short_help = section[name][1]
                return command
        return None

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and not args[0].startswith("-") and self.get_command(context, args[0]) is None:
            raise Trouble(Exit.USAGE, *_unknown(args[0], self.list_commands(context)))
        return super().resolve_command(context, args)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_module, text) in section.items()])


def _unknown(word: str, names: Sequence[str]) -> tuple[str, str]:
    from cronix_protocol.faults import closest, quoted

    other = {"list": "status", "get": "status", "ls": "status", "trigger": "run", "describe": "status"}
    near = other.get(word) or closest(word, names)
    if near is None and ("/" in word or len(word) > 20):
        return f"{quoted(word)} is no command; the command comes first", f"kubectl cronix status {word}"
    hint = f"kubectl cronix {near}" if near else "kubectl cronix --help"
    return f"{quoted(word)} is no command", hint


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Ask anything about the jobs that CronixApps declare.

    A job is named APP/JOB, one schedule of it APP/JOB/INDEX; APP is the name of the CronixApp.
    """


def main(arguments: Sequence[str] | None = None, session: Session | None = None) -> int:
    """Run one command; returns its exit code and never raises for what a person did wrong."""
    session = session or _session()
    try:
        code = cli.main(arguments, prog_name="kubectl cronix", standalone_mode=False, obj=session)
    except Trouble as trouble:
        return _tell(session, trouble.message, trouble.hint, trouble.code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "kubectl cronix"
        return _tell(session, error.format_message(), f"{command} --help", Exit.USAGE)
    except click.ClickException as error:
        return _tell(session, error.format_message(), "", Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:
        return 141  # `| head` has seen enough
    return code if isinstance(code, int) else Exit.OK


def _tell(session: Session, message: str, hint: str, code: Exit) -> int:
    lines = message.split("\n")
    if len(lines) == 1 and sys.stderr.isatty():  # a program that looks for words finds them in one line
        lines = session.screen.wrapped(message, len("error: "))
    click.echo(f"error: {lines[0]}", err=True)
    for line in lines[1:]:
        click.echo(f"       {line}".rstrip(), err=True)
    for number, line in enumerate(hint.split("\n") if hint else ()):
        click.echo(("       " if number else "try:   ") + line, err=True)  # never wrapped: commands are to be copied
    return code


def _session() -> Session:
    def now() -> datetime:
        return datetime.now(UTC)  # noqa: TID251  # this is the door

    def connect(kubeconfig: str | None, context: str | None) -> Any:
        from cronix_operator.edges.api import ApiServer

        return ApiServer(kubeconfig, context)

    def sleep(seconds: float) -> Awaitable[None]:
        import asyncio

        return asyncio.sleep(seconds)

    def token() -> str:
        import secrets

        return "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))

    return Session(now=now, connect=connect, screen=Screen.of_process(), sleep=sleep, token=token)


def program() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    program()
