"""`kubectl cronix` in a real terminal (a pty) on a cluster that was recorded while the run-truth tests ran."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import struct
import termios
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cli.cli_helpers import Kube
from cronix_cli.__main__ import main
from cronix_cli.screen import Screen
from cronix_cli.session import Session
from cronix_cli.times import rfc3339
from cronix_operator.edges.api import Reply
from cronix_protocol import verify
from cronix_protocol.outcome import EXIT_CODES, Outcome, dump_outcome
from operator_fakes.memory_api import Object

RECORDED = Path(__file__).parent / "recorded"
NAMESPACE = "shop"
KEY = "recorded-key-0123456789abcdef"
TOKEN = "x7k2p"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class RecordedKube(Kube):
    """The server in memory, with a clock: a Job is created now."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock

    def put(self, plural: str, namespace: str, name: str, **content: Any) -> Object:
        live = super().put(plural, namespace, name, **content)
        live["metadata"]["creationTimestamp"] = rfc3339(self._clock())
        return live

    async def request(self, method: str, path: str, **more: Any) -> Reply:
        reply = await super().request(method, path, **more)
        if method == "POST" and path.endswith("/jobs") and reply.ok:
            name = reply.body["metadata"]["name"]
            self.objects["jobs", NAMESPACE, name]["metadata"]["creationTimestamp"] = rfc3339(self._clock())
        return reply


class Recorded:
    """A cluster as tests/e2e/recorder.py found it, and what the world does when a command changes something.

    The app answers each run with `answers` (a word, an HTTP status, a text) by job, else with success; None: never.
    Time goes on only while a command waits; whatever was started meanwhile ends.
    """

    def __init__(self, scene: str, answers: Mapping[str, tuple[str, int, str] | None]) -> None:
        content = json.loads((RECORDED / f"{scene}.json").read_text())
        self.now: datetime = datetime.fromisoformat(content["now"])
        self.manifest: Any = content["manifest"]
        self._answers = answers
        self.kube = RecordedKube(lambda: self.now)
        for plural, bodies in content["objects"].items():
            for body in bodies:
                name = body["metadata"]["name"]
                self.kube.put(plural, NAMESPACE, name)
                self.kube.objects[plural, NAMESPACE, name] = body
        self.kube.logs = content["logs"]
        self.kube.put("secrets", NAMESPACE, "puppet-cron", data={"current": base64.b64encode(KEY.encode()).decode()})
        self.kube.answers["/apis/apps/v1/deployments"] = Reply(200, {"items": [self._operator()]})
        self.kube.on_raw = self._raw

    def _operator(self) -> dict[str, Any]:
        (live, *_) = self.kube.cron_jobs().values()
        (signer,) = live["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        env = {"CRONIX_SIGNER_IMAGE": signer["image"], "CRONIX_SIGNER_IMAGE_PULL_POLICY": signer["imagePullPolicy"]}
        container = {"image": "cronix-operator:1", "env": [{"name": k, "value": v} for k, v in env.items()]}
        return {
            "metadata": {"namespace": "cronix-system", "name": "cronix"},
            "spec": {"template": {"spec": {"containers": [container]}}},
            "status": {"availableReplicas": 1},
        }

    def _raw(self, path: str, headers: dict[str, str]) -> tuple[int, bytes, Mapping[str, str]]:
        if path == "/version":
            date = self.now.strftime("%a, %d %b %Y %H:%M:%S GMT")
            return 200, b'{"minor":"34","gitVersion":"v1.34.4"}', {"Date": date}
        seen = verify(
            headers.get("X-Cron-Signature"), secrets=(KEY,), method="GET", path="/.well-known/cron-manifest",
            body=b"",
            now=int(self.now.timestamp()),
        )  # fmt: skip
        if not seen.ok:
            return seen.status, json.dumps({"code": seen.code, "message": seen.message}).encode(), {}
        return 200, json.dumps(self.manifest).encode(), {}

    async def sleep(self, seconds: float) -> None:
        """A command waits: the operator does what is asked, and what runs comes to its end."""
        self.now += timedelta(seconds=seconds)
        for (plural, _, _), body in list(self.kube.objects.items()):
            if plural == "cronixapps":
                self._reconcile(body)
            elif plural == "jobs" and not body.get("status"):
                self._end(body)

    def _reconcile(self, app: dict[str, Any]) -> None:
        notes = app["metadata"].get("annotations") or {}
        held = notes.get("cronix.dev/suspended-jobs", "").split(",")
        for live in self.kube.cron_jobs().values():
            job = live["metadata"]["annotations"]["cronix.dev/job-name"]
            live["spec"]["suspend"] = bool(app["spec"].get("suspend")) or job in held
        if "cronix.dev/reconcile-at" in notes:
            app["status"]["lastHandledReconcileAt"] = notes["cronix.dev/reconcile-at"]
        app["status"]["observedGeneration"] = app["metadata"]["generation"]

    def _end(self, job: dict[str, Any]) -> None:
        meta, pod_meta = job["metadata"], job["spec"]["template"]["metadata"]
        answer = self._answers.get(meta["labels"]["cronix.dev/job"], ("Succeeded", 200, ""))
        if answer is None:
            return
        word, http_status, text = answer
        began = datetime.fromisoformat(meta["creationTimestamp"])
        slot = (pod_meta.get("annotations") or {}).get("cronix.dev/scheduled-time")
        scheduled = int(datetime.fromisoformat(slot).timestamp()) if slot else 0
        said = Outcome(
            outcome=word, run_id=str(uuid.uuid5(uuid.NAMESPACE_OID, meta["name"])), scheduled_time=scheduled,
            manual=slot is None, start_time=began.timestamp(), end_time=self.now.timestamp(),
            attempts=3 if word == "RetriesExhausted" else 1, http_status=http_status,
            message=f"answered {http_status}", excerpt=text,
        )  # fmt: skip
        end = rfc3339(self.now)
        condition = {"type": "Failed" if text else "Complete", "status": "True", "lastTransitionTime": end}
        job["status"] = {"startTime": rfc3339(began), "conditions": [condition]}
        times = {"startedAt": rfc3339(began), "finishedAt": end}
        ended = {"exitCode": EXIT_CODES[word], "message": dump_outcome(said), **times}
        status = {"containerStatuses": [{"name": "signer", "state": {"terminated": ended}}]}
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": meta["uid"], "controller": True}
        pod = self.kube.put("pods", NAMESPACE, f"{meta['name']}-pod", status=status)
        pod["metadata"]["labels"] = {**meta["labels"], "batch.kubernetes.io/job-name": meta["name"]}
        pod["metadata"]["ownerReferences"] = [owner]

    def shows(self, line: str, columns: int) -> str:
        """The command line, and what a terminal of this width shows then, without colours; any exit code but 0."""
        session = Session(
            now=lambda: self.now,
            connect=lambda _kubeconfig, _context: self.kube,
            screen=Screen(None, color=False, ascii_only=False),
            sleep=self.sleep,
            token=lambda: TOKEN,
        )
        with terminal(columns) as told:
            session.screen = Screen.of_process()
            code = main(shlex.split(line), session)
        shown = _COLOR.sub("", "".join(told))
        return f"$ kubectl cronix {line}\n{shown}" + (f"[exit code {int(code)}]\n" if code else "")


@contextlib.contextmanager
def terminal(columns: int) -> Iterator[Sequence[str]]:
    """Standard output and error are a terminal; what it got is in the list afterwards."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    told: list[str] = []
    reader = threading.Thread(target=_read_all, args=(ours, told))
    reader.start()
    try:
        with (
            os.fdopen(theirs, "w", encoding="utf-8") as screen,
            contextlib.redirect_stdout(screen),
            contextlib.redirect_stderr(screen),
        ):
            yield told
    finally:
        reader.join()
        os.close(ours)


def _read_all(descriptor: int, told: list[str]) -> None:
    parts = []
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(descriptor, 65536):
            parts.append(part)
    told.append(b"".join(parts).decode().replace("\r\n", "\n"))
