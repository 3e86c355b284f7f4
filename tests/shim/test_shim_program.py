"""The program as a process: what it takes from its environment, and the exact bytes that it sends."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from cronix_protocol import verify
from cronix_protocol.runid import run_id
from shim.shim_helpers import APP_UID, KEY, Program, Server, answer, headers_of, job_file, run

if TYPE_CHECKING:
    from pathlib import Path

OK = answer(200, b"done")
IN_KUBERNETES = {"cronjob": "cronix-billing-reconcile-0", "app_uid": APP_UID}
IN_KUBERNETES_DEADLINES = IN_KUBERNETES | {"starting_deadline_seconds": 300, "active_deadline_seconds": 240}


def test_request_byte_for_byte() -> None:
    """C6: method, path and query as written, the job's headers, ours, the body; nothing else."""
    with Server(OK) as server:
        job = job_file(
            server.url("/a/../b%2f%7E//;p?q=%20&x#frag"),
            request={"method": "put", "headers": {"X-A": 'a\tb: "c"'}, "body": '{"€":"\\r\\n"}'},
        )
        finished = run(job)
    assert finished.exit_code == 0
    sent = server.requests[0]
    shown = re.sub(rb"(Signature: t=|v1=|Run-Id: |Time: |Actual: )[0-9a-f-]+", rb"\1*", sent)
    assert shown == (
        b"PUT /a/../b%2f%7E//;p?q=%20&x HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"User-Agent: cronix-shim/0.1.0\r\n"
        b'X-A: a\tb: "c"\r\n'
        b"X-Cron-Signature: t=*,v1=*\r\n"
        b"X-Cron-Run-Id: *\r\n"
        b"X-Cron-Schedule-Name: reconcile\r\n"
        b"X-Cron-Fire-Time: *\r\n"
        b"X-Cron-Fire-Time-Actual: *\r\n"
        b"X-Cron-Attempt: 1\r\n"
        b"Connection: close\r\n"
        b"Content-Length: 14\r\n"
        b"\r\n"
        b'{"\xe2\x82\xac":"\\r\\n"}'
    )
    header = headers_of(sent)["x-cron-signature"]
    body = sent.partition(b"\r\n\r\n")[2]
    now = int(time.time())
    assert verify(header, secrets=[KEY], method="PUT", path="/a/../b%2f%7E//;p?q=%20&x", body=body, now=now).ok


def test_pods_of_one_slot_share_the_run_id_and_the_slot() -> None:
    """C2: attempts, a replacement pod, a duplicate: same id, same fire time, whoever runs it when."""
    slot = int(time.time()) // 60 * 60 - 120
    env = {"CRONIX_JOB_NAME": f"cronix-billing-reconcile-0-{slot // 60}", "CRONIX_JOB_UID": "job-uid"}
    with Server(OK) as server:
        job = job_file(server.url(), fire=IN_KUBERNETES_DEADLINES)
        for _ in range(2):
            outcome = run(job, env=env).outcome
            assert (outcome.run_id, outcome.scheduled_time, outcome.manual) == (
                run_id(APP_UID, "reconcile", 0, slot),
                slot,
                False,
            )
    sent = [headers_of(request) for request in server.requests]
    assert {header["x-cron-run-id"] for header in sent} == {run_id(APP_UID, "reconcile", 0, slot)}
    assert {header["x-cron-fire-time"] for header in sent} == {str(slot)}
    assert all(slot + 120 <= int(header["x-cron-fire-time-actual"]) for header in sent)


def test_job_whose_name_imitates_an_old_slot_is_a_manual_run() -> None:
    """Older than both deadlines together: not believed; the id is the Job's, in every pod of it."""
    slot = int(time.time()) // 60 * 60 - 1200
    env = {"CRONIX_JOB_NAME": f"cronix-billing-reconcile-0-{slot // 60}", "CRONIX_JOB_UID": "job-uid"}
    with Server(OK) as server:
        first, second = (run(job_file(server.url(), fire=IN_KUBERNETES_DEADLINES), env=env).outcome for _ in range(2))
    assert first.manual
    assert first.scheduled_time >= slot + 1200
    assert first.run_id == second.run_id != run_id(APP_UID, "reconcile", 0, slot)


def test_backfilled_slot_is_fired_under_its_own_id() -> None:
    """The annotation wins over the Job's name, however old the slot."""
    with Server(OK) as server:
        env = {"CRONIX_SCHEDULED_TIME": "2026-01-31T23:59:00Z", "CRONIX_JOB_NAME": "backfill-7", "CRONIX_JOB_UID": "u"}
        outcome = run(job_file(server.url(), fire=IN_KUBERNETES), env=env).outcome
    assert (outcome.scheduled_time, outcome.manual) == (1_769_903_940, False)
    assert outcome.run_id == run_id(APP_UID, "reconcile", 0, 1_769_903_940)
    assert headers_of(server.requests[0])["x-cron-fire-time"] == "1769903940"


def test_backfill_with_a_time_that_cannot_be_read_fires_nothing() -> None:
    """Firing it as now would be the wrong slot."""
    with Server(OK) as server:
        finished = run(job_file(server.url(), fire=IN_KUBERNETES), env={"CRONIX_SCHEDULED_TIME": "yesterday"})
    assert (finished.exit_code, server.connections, finished.outcome.outcome) == (3, 0, "InvalidJob")
    assert "cronix.dev/scheduled-time" in finished.outcome.message


def test_runs_outside_kubernetes_have_different_ids() -> None:
    """No Job, no slot: each run is its own."""
    with Server(OK) as server:
        assert run(job_file(server.url())).outcome.run_id != run(job_file(server.url())).outcome.run_id


@pytest.mark.parametrize("job", [None, "", "{", "[]", '{"app":"x"}', json.dumps(job_file("ftp://h/")), "\x01"])
def test_job_file_that_is_no_good(job: str | None) -> None:
    """Exit 3, `trigger: load spec`, the place in the message; nothing is fired."""
    finished = run(job)
    assert finished.exit_code == 3
    assert finished.words == ["ERROR load spec"]
    assert finished.outcome.outcome == "InvalidJob"
    assert finished.outcome.message
    assert finished.lines[0]["err"].startswith(finished.outcome.message[:200])


def test_file_of_the_peer_runs_unchanged(tmp_path: Path) -> None:
    """--job-file with env:, file: (blanks trimmed) and raw: refs, pretty-printed, keys unknown to us ignored."""
    (tmp_path / "key").write_text(f"  {KEY}\n\n")
    (tmp_path / "empty").write_text("\n")
    with Server(OK) as server:
        for refs in (
            ["env:CRON_KEY"],
            [f"file:{tmp_path}/empty", f"file:{tmp_path}/key"],
            ["env:NOT_SET", f"raw:{KEY}"],
        ):
            path = tmp_path / "billing.reconcile.json"
            path.write_text(json.dumps(job_file(server.url(), secret_refs=refs, otel={"x": 1}), indent=2))
            finished = run(None, arguments=["--job-file", str(path)])
            assert finished.exit_code == 0, finished.stdout
    for request in server.requests:
        header = headers_of(request)["x-cron-signature"]
        assert verify(header, secrets=[KEY], method="POST", path="/run", body=b'{"n":1}', now=int(time.time())).ok


@pytest.mark.parametrize("path", ["/does/not/exist", "/", "/dev/full", "\udcff"])
def test_job_file_that_cannot_be_read(path: str) -> None:
    """Exit 3 with the path or what is in it."""
    finished = run(None, arguments=["--job-file", path])
    assert (finished.exit_code, finished.words) == (3, ["ERROR load spec"])


def test_version_help_and_arguments_that_do_not_exist() -> None:
    """--version and --help answer; anything else is usage, exit 3, and fires nothing."""
    assert run(None, arguments=["--version"]).stdout == b"cronix-shim 0.1.0\n"
    assert run(None, arguments=["--help"]).stdout.startswith(b"usage: cronix-shim")
    for arguments in (["trigger", "billing.reconcile"], ["--job-file"], ["--job-file", "a", "b"]):
        finished = run(job_file("http://127.0.0.1:1/"), arguments=arguments)
        assert (finished.exit_code, finished.stdout) == (3, b"")
        assert b"usage" in finished.stderr


def test_no_proxy_is_ever_used() -> None:
    """S7: the usual variables are set, the request goes straight."""
    with Server(OK) as proxy, Server(OK) as server:
        url = proxy.url("")
        names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        assert run(job_file(server.url()), env=dict.fromkeys(names, url)).exit_code == 0
    assert (proxy.connections, len(server.requests)) == (0, 1)


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 in this kernel")  # noqa: PTH110
def test_ipv6() -> None:
    """A literal address in brackets, in URL and Host header."""
    try:
        server = Server(OK, host="::1")
    except OSError:
        pytest.skip("no IPv6 loopback address")
    with server:
        assert run(job_file(f"http://[::1]:{server.port}/run")).exit_code == 0
    assert headers_of(server.requests[0])["host"] == f"[::1]:{server.port}"


def test_traceparent_of_the_environment_is_passed_on() -> None:
    """A valid one is, an invalid one is not, and the manifest's own wins."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with Server(OK) as server:
        run(job_file(server.url()), env={"TRACEPARENT": parent})
        run(job_file(server.url()), env={"TRACEPARENT": parent + "\r\nX: y"})
        run(job_file(server.url(), request={"headers": {"Traceparent": "own"}}), env={"TRACEPARENT": parent})
    assert [headers_of(request).get("traceparent") for request in server.requests] == [parent, None, "own"]


def test_previous_success_is_sent_only_when_known(tmp_path: Path) -> None:
    """A file with Unix seconds; no file, or something else in it: no header."""
    path = tmp_path / "last"
    with Server(OK) as server:
        for text in ("1795323600\n", "yesterday", None):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            assert run(job_file(server.url(), fire={"previous_success_file": str(path)})).exit_code == 0
    sent = [headers_of(request).get("x-cron-previous-success-time") for request in server.requests]
    assert sent == ["1795323600", None, None]


def test_log_that_nobody_reads_changes_nothing() -> None:
    """Standard output closed at the other end: the run and its exit code are what they are."""
    reader, writer = os.pipe()
    os.close(reader)
    with Server(OK) as server:
        finished = Program(job_file(server.url()), stdout=writer).finish()
        os.close(writer)
    assert (finished.exit_code, finished.outcome.outcome) == (0, "Succeeded")


def test_without_a_termination_log_the_run_is_the_same(tmp_path: Path) -> None:
    """Outside Kubernetes the file does not exist; it is not made."""
    missing = tmp_path / "nowhere"
    with Server(OK) as server:
        assert run(job_file(server.url()), env={"CRONIX_TERMINATION_LOG": str(missing)}).exit_code == 0
    assert not missing.exists()


def test_defect_of_the_signer_ends_in_exit_3_without_its_words() -> None:
    """`trigger: panic` names the kind of error and the place, never the text, which may quote a key (C5)."""
    prelude = f"from cronix_shim import fire\ndef sign(*a, **k): raise RuntimeError({KEY!r})\nfire.sign = sign\n"
    with Server(OK) as server:
        finished = run(job_file(server.url()), prelude=prelude)
    assert (finished.exit_code, server.connections) == (3, 0)
    assert finished.words == ["ERROR panic"]
    assert "RuntimeError in sign:" in finished.lines[0]["panic"]
    assert KEY.encode() not in finished.stdout + finished.stderr + finished.message.encode()


def test_server_that_hangs_up_before_it_has_read_all() -> None:
    """An early 413 is an answer although the request could not be sent whole."""

    def early(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")

    with Server(early) as server:
        finished = run(job_file(server.url(), request={"body": "x" * 60_000}))
    assert (finished.exit_code, finished.outcome.excerpt) == (1, "big")


def test_core_dumps_are_off() -> None:
    """C5: RLIMIT_CORE is 0 and a core would hold no memory, told by /proc while the signer waits for an answer."""
    with Server(lambda _: time.sleep(30)) as server:
        program = Program(job_file(server.url(), timeout_seconds=30))
        assert server.asked.wait(30)
        folder = f"/proc/{program.process.pid}"
        limits = subprocess.run(
            ["cat", f"{folder}/limits", f"{folder}/coredump_filter"], capture_output=True, text=True, check=True
        )
        program.process.kill()
        program.finish()
    assert re.search(r"Max core file size +0 +0 ", limits.stdout)
    assert limits.stdout.endswith("00000000\n")
