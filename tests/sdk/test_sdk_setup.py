"""What is wrong is told when the app starts: keys, jobs, base URL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cronix_protocol.manifest import parse_manifest
from cronix_sdk import Cron, JobContext, JobError, KeyFiles, SecretError, SetupError
from sdk.sdk_helpers import KEY, OTHER_KEY, fetch_manifest, fire, make_cron

ROOT = Path(__file__).parents[2]


def no_secret() -> str:
    return ""


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        (None, "secret is missing"),
        ("", "empty or blank"),
        (" \n", "empty or blank"),
        ([], "empty list"),
        (["", "  "], "empty or blank"),
        (no_secret, "the callable's answer holds only empty"),
        (b"0123456789abcdef", r"write key\.decode\(\)"),
        ([b"0123456789abcdef"], r"write key\.decode\(\)"),
        (7, "is int"),
        (KeyFiles("/nonexistent/current"), r"KeyFiles\(/nonexistent/current\) holds only empty"),
    ],
)
def test_an_app_without_a_usable_secret_does_not_start(secret: object, told: str) -> None:
    """Fail closed, at import, and say which of the ways of having no secret it is (C3)."""
    with pytest.raises(SecretError, match=told):
        make_cron(secret=secret)


@pytest.mark.parametrize("blank", [" ", "\t\t", "\n\n"])
def test_a_blank_key_beside_a_good_one_verifies_nothing(blank: str) -> None:
    """An unset variable that became one blank must not be a second way in (C3)."""
    cron = make_cron(secret=[KEY, blank])
    cron.job("echo", schedule="@hourly")(lambda: None)
    assert fire(cron, "echo").status == 200
    assert fire(cron, "echo", key=blank).code == "SignatureMismatch"
    assert fire(cron, "echo", key=blank[:-1] or blank).code == "SignatureMismatch"


def test_a_short_key_is_told_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """WeakKey in the log; the key itself nowhere (C5)."""
    make_cron(secret=[KEY, "hunter2"])
    assert "WeakKey: secret 1" in caplog.text
    assert "hunter2" not in caplog.text


def test_one_line_end_of_a_key_is_not_part_of_it(tmp_path: Path) -> None:
    """`kubectl create secret --from-file` keeps it; the signer strips one, too, and only one."""
    path = tmp_path / "current"
    path.write_text(f"{KEY}\n")
    cron = make_cron(secret=KeyFiles(path))
    cron.job("echo", schedule="@hourly")(lambda: None)
    assert fire(cron, "echo").status == 200
    path.write_bytes(f"{KEY}\r\n".encode())
    assert fire(cron, "echo").status == 200
    path.write_text(f"{KEY}\n\n")
    assert fire(cron, "echo", key=f"{KEY}\n").status == 200
    assert fire(cron, "echo").code == "SignatureMismatch"


def test_rotated_key_files_need_no_restart_and_refuse_nothing_on_the_way(tmp_path: Path) -> None:
    """old → new with the old one as previous → new only; the index is the file's place, present or not."""
    current, previous = tmp_path / "current", tmp_path / "previous"
    current.write_text(KEY)
    cron = make_cron(secret=KeyFiles.from_text(f"{current}, {previous}"))
    seen: list[int | None] = []

    @cron.job("echo", schedule="@hourly")
    def echo(context: JobContext) -> None:
        seen.append(context.secret_index)

    assert fire(cron, "echo").status == 200
    previous.write_text(KEY)
    current.write_text(OTHER_KEY)
    assert fire(cron, "echo").status == 200
    assert fire(cron, "echo", key=OTHER_KEY).status == 200
    previous.unlink()
    assert fire(cron, "echo", key=OTHER_KEY).status == 200
    assert fire(cron, "echo").code == "SignatureMismatch"
    assert seen == [0, 1, 0, 0]


def test_keys_that_vanish_while_the_app_runs_close_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """503, which the signer retries, and a line that says why; nothing is ever accepted without a key."""
    path = tmp_path / "current"
    path.write_text(KEY)
    cron = make_cron(secret=KeyFiles(path))
    cron.job("echo", schedule="@hourly")(lambda: None)
    path.unlink()
    answer = fire(cron, "echo", key="anything")
    assert (answer.status, answer.code) == (503, "NoUsableSecret")
    assert "holds only empty" in caplog.text


def test_a_key_callable_that_raises_closes_the_app_without_telling_what_it_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The exception could hold the key: only its type is logged (C5)."""
    answers = [KEY]

    def from_vault() -> str:
        if answers:
            return answers.pop()
        raise RuntimeError("token s.hunter2 expired")

    cron = make_cron(secret=from_vault)
    assert fetch_manifest(cron).code == "NoUsableSecret"
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_key_file_that_is_no_text_is_told_without_its_bytes(tmp_path: Path) -> None:
    """Keys are text on both sides."""
    path = tmp_path / "current"
    path.write_bytes(b"\xff\xfehunter2")
    with pytest.raises(SecretError, match="not UTF-8") as caught:
        make_cron(secret=KeyFiles(path))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"app": "Billing"}, "app: .*small letters"),
        ({"app": ""}, "app: "),
        ({"base_url": "billing.shop.svc"}, "want scheme and host"),
        ({"base_url": "ftp://billing"}, "want scheme and host"),
        ({"base_url": "https://u:p@billing"}, "want scheme and host"),
        ({"base_url": "https://billing/?x=1"}, "want scheme and host"),
        ({"base_url": None}, "want text"),
        ({"replay_window_seconds": 29}, "at least 30"),
    ],
)
def test_a_cron_that_cannot_work_is_not_made(arguments: dict[str, object], told: str) -> None:
    """Each wrong argument is named, with what to write instead."""
    with pytest.raises(SetupError, match=told):
        make_cron(**arguments)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("Echo", {"schedule": "@hourly"}, "name .*small letters"),
        ("echo-", {"schedule": "* * *"}, "expected exactly 5 fields"),
        ("echo", {"schedule": ""}, "schedule"),
        ("echo", {"schedule": []}, "at least one schedule"),
        ("echo", {"schedule": "@every 5s"}, "schedule"),
        ("echo", {"schedule": "TZ=UTC * * * * *"}, "schedule"),
        ("echo", {"schedule": "@hourly", "timezone": "Europe/Pariss"}, "did you mean Europe/Paris"),
        ("echo", {"schedule": "@hourly", "method": "post"}, "write POST"),
        ("echo", {"schedule": "@hourly", "timeout_seconds": 601}, "timeout_seconds must be 1 to 600"),
        ("echo", {"schedule": "@hourly", "max_attempts": 0}, "max_attempts"),
        ("echo", {"schedule": "@hourly", "retry_min_seconds": 9, "retry_max_seconds": 3}, "retries"),
        ("echo", {"schedule": "@hourly", "concurrency": "forbid"}, "Forbid"),
        ("echo", {"schedule": "@hourly", "headers": {"X-Cron-Run-Id": "x"}}, "X-Cron-Run-Id is written by the signer"),
        ("echo", {"schedule": "@hourly", "headers": {"X-A": "a\r\nX-B: b"}}, "X-A"),
        ("echo", {"schedule": "@hourly", "secret_refs": ["1"]}, "secret_refs"),
        ("echo", {"schedule": "@hourly", "url": "https://h/x?"}, "ends with"),
        ("echo", {"schedule": "@hourly", "shedule": "x"}, "unexpected keyword argument 'shedule'"),
        ("echo", {}, "missing 1 required"),
        ("echo", {"schedule": "@hourly", "replay_window_seconds": 5}, "at least 30"),
        ("echo", {"schedule": "@hourly", "secret": " "}, "empty or blank"),
    ],
)
def test_a_job_that_cannot_be_in_a_manifest_is_told_at_import(name: str, options: dict[str, object], told: str) -> None:
    """Validated at registration, with the manifest's own words."""
    with pytest.raises(SetupError, match=told):
        make_cron().job(name, **options)(lambda: None)  # type: ignore[arg-type]  # a table's loose values


def test_all_faults_of_a_job_are_told_at_once() -> None:
    """Two mistakes, one error."""
    with pytest.raises(JobError, match=r"retries/max_attempts must be .*; policy/timeout_seconds must be"):
        make_cron().job("echo", schedule="@hourly", timeout_seconds=0, max_attempts=99)(lambda: None)


def keyword_only(*, context: object) -> None: ...


def two_arguments(context: object, other: object) -> None: ...


@pytest.mark.parametrize("function", [keyword_only, two_arguments])
def test_a_function_that_cannot_be_called_is_no_job(function: object) -> None:
    """Told at import instead of at the first fire."""
    with pytest.raises(JobError, match="called with the context or with nothing"):
        make_cron().job("echo", schedule="@hourly")(function)  # type: ignore[type-var]  # wrong on purpose
    with pytest.raises(JobError, match="decorates a function, got int"):
        make_cron().job("echo", schedule="@hourly")(7)  # type: ignore[type-var]  # wrong on purpose


def test_the_decorator_gives_the_function_back() -> None:
    """An app's own tests can call it as it is."""
    cron = make_cron()

    @cron.job("echo", schedule="@hourly")
    def echo(context: JobContext | None = None) -> str:
        return f"called with {context}"

    assert echo() == "called with None"
    assert fire(cron, "echo").json() == {"ok": True, "result": "called with None"}


def test_names_paths_and_the_number_of_jobs_are_checked_as_they_come() -> None:
    """Twice the name, twice the URL path, the manifest's path, and job 257."""
    cron = make_cron()
    cron.job("one", schedule="@hourly")(lambda: None)
    with pytest.raises(JobError, match="declared twice"):
        cron.job("one", schedule="@daily")(lambda: None)
    with pytest.raises(JobError, match="belongs to job 'one'"):
        cron.job("two", schedule="@daily", url="http://billing.shop.svc:8080/api/v1/scheduled/one")(lambda: None)
    with pytest.raises(JobError, match="manifest's own path"):
        cron.job("two", schedule="@daily", url="http://billing/.well-known/cron-manifest")(lambda: None)
    for number in range(255):
        cron.job(f"job-{number}", schedule="@hourly")(lambda: None)
    with pytest.raises(JobError, match="at most 256"):
        cron.job("last", schedule="@hourly")(lambda: None)


def test_a_manifest_that_nobody_would_read_is_told_at_import() -> None:
    """The operator reads 1 MiB; one body less fits."""
    cron = make_cron()
    cron.job("large", schedule="@hourly", body="x" * 1_000_000)(lambda: None)
    with pytest.raises(JobError, match="at most 1048576 are read"):
        cron.job("more", schedule="@hourly", body="x" * 50_000)(lambda: None)
    assert len(parse_manifest(fetch_manifest(cron).body).jobs) == 1


def test_a_job_can_be_rescheduled_and_removed_and_a_bad_schedule_changes_nothing() -> None:
    """What an app does that keeps its schedules in a file."""
    cron = make_cron()
    cron.job("one", schedule="@hourly")(lambda: None)
    cron.reschedule("one", ["@daily", "0 12 * * *"])
    before = fetch_manifest(cron).body
    assert b'"schedules":["@daily","0 12 * * *"]' in before
    with pytest.raises(JobError, match="schedule"):
        cron.reschedule("one", "nonsense")
    assert fetch_manifest(cron).body == before
    with pytest.raises(JobError, match="no job 'two'; there are: one"):
        cron.remove("two")
    cron.remove("one")
    assert fire(cron, "one").code == "UnknownJob"


def test_a_job_may_live_at_a_url_of_its_own_with_a_query() -> None:
    """The query is signed and kept; the route is the path alone."""
    cron = make_cron(base_url="https://billing.example.com/api")
    cron.job("own", schedule="@hourly", url="https://billing.example.com/api/internal/run?kind=a%2Fb")(lambda: None)
    assert fire(cron, "own", path="/api/internal/run?kind=a%2Fb").status == 200
    assert fire(cron, "own", path="/api/internal/run").status == 200
    assert cron.own_routes == ("/internal/run",)


def test_importing_the_sdk_loads_the_standard_library_and_the_protocol_only() -> None:
    """No framework, no asyncio, no time zone data: an app pays for what it uses."""
    script = "import sys, cronix_sdk; print(' '.join(sorted(sys.modules)))"
    path = f"{ROOT / 'spec'}:{ROOT / 'sdk'}"
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) - {"__main__"} == {"cronix_sdk", "cronix_protocol"}
    assert not loaded & {"asyncio", "zoneinfo", "http", "email", "ssl"}


def test_every_public_name_is_importable_and_typed() -> None:
    """`__all__` holds, and type checkers are told that the package is typed."""
    import cronix_sdk

    assert all(getattr(cronix_sdk, name) is not None for name in cronix_sdk.__all__)
    assert (Path(cronix_sdk.__file__).parent / "py.typed").exists()
    assert Cron.__doc__
