"""The main job, end to end: operator by helm, an app with a Secret, a CronixApp of seven lines, its first signed run.

Uses the cluster of KUBECONFIG, or the local one. Nothing is faked: the Job is Kubernetes' own CronJob controller's, and
the app's log line is printed as the app wrote it. `--remove` takes away what this installed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "cronix-demo"
SYSTEM_NAMESPACE = "cronix-system"
APP = "hello"
FIRST_RUN_SECONDS = 150
FOLLOW_SECONDS = 90


class DemoFailed(Exception):
    """The demo cannot go on; the text says why and what to look at."""


def main() -> int:
    """Run or remove the demo; 1 with one readable line when it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remove", action="store_true", help="remove the demo's namespace and release")
    arguments = parser.parse_args()
    kube = Kube()
    try:
        if arguments.remove:
            remove(kube)
        else:
            Demo(kube).run()
    except DemoFailed as exc:
        print(f"\ndemo: {exc}", file=sys.stderr)
        return 1
    return 0


class Kube:
    """kubectl and helm with the right kubeconfig."""

    def __init__(self) -> None:
        self.env = dict(os.environ)
        if not self.env.get("KUBECONFIG"):
            self.env["KUBECONFIG"] = self._local("kubeconfig")
            self.env["PATH"] = f"{self._local('path')}:{self.env['PATH']}"
        self.is_local = "KUBECONFIG" not in os.environ

    @staticmethod
    def _local(what: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(ROOT / "cluster")}
        done = subprocess.run(
            [sys.executable, "-m", "cronix_cluster", what], env=env, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        """stdout of a command; DemoFailed with its stderr."""
        done = subprocess.run(command, env=self.env, input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise DemoFailed(f"`{' '.join(command[:6])} …` failed:\n{done.stderr.strip()}")
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """A `kubectl get -o json` of the demo's namespace."""
        document: dict[str, Any] = json.loads(self.run("kubectl", "-n", NAMESPACE, "get", *arguments, "-o", "json"))
        return document

    def show(self, *arguments: str) -> None:
        """Print a command as a person would type it, and what it answers."""
        print(f"\n$ kubectl -n {NAMESPACE} {' '.join(arguments)}")
        print(self.run("kubectl", "-n", NAMESPACE, *arguments).rstrip())


def say(text: str) -> None:
    print(f"\n--> {text}", flush=True)


def wait_for(what: str, seconds: float, check: Any) -> Any:
    """What `check()` returns once it is truthy; progress every ten seconds; DemoFailed after `seconds`."""
    began = told = time.monotonic()
    while True:
        found = check()
        if found:
            return found
        now = time.monotonic()
        if now - began > seconds:
            raise DemoFailed(f"no {what} within {seconds:.0f} s; look with: kubectl -n {NAMESPACE} get events,cxa,pods")
        if now - told >= 10:
            told = now
            print(f"    waiting for {what}: {now - began:.0f} s", flush=True)
        time.sleep(0.5)


class Demo:
    """One run of the demo, step by step."""

    def __init__(self, kube: Kube) -> None:
        self.kube = kube
        self.images: dict[str, str] = json.loads((ROOT / "build/images.json").read_text())

    def run(self) -> None:
        """All steps in order."""
        self.install_operator()
        self.install_app()
        self.apply_cronix_app()
        self.first_run()
        self.change_manifest()
        self.goodbye()

    def install_operator(self) -> None:
        say("the operator, by helm (chart charts/cronix-operator)")
        repository, tag = self.images["cronix-operator"].rsplit(":", 1)
        signer, signer_tag = self.images["cronix-signer"].rsplit(":", 1)
        self.kube.run(
            "helm", "upgrade", "--install", "cronix", str(ROOT / "charts/cronix-operator"),
            "--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout", "180s",
            "--take-ownership",  # a CRD that was applied by hand, or kept by an uninstall, becomes this release's
            "--set-string", f"image.repository={repository},image.tag={tag}",
            "--set-string", f"signer.image.repository={signer},signer.image.tag={signer_tag}",
        )  # fmt: skip

    def install_app(self) -> None:
        say(f"an app that declares its jobs, and its key, in namespace {NAMESPACE} (Pod Security: restricted)")
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        }
        self.apply(json.dumps(namespace))
        # A second demo must not keep the Jobs of the first: what is shown below is the run of this one.
        self.kube.run(
            "kubectl", "-n", NAMESPACE, "delete", "cxa,cronjobs,jobs", "--all", "--wait", "--ignore-not-found"
        )
        key = base64.b64encode(secrets.token_hex(32).encode()).decode()
        self.apply(json.dumps({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hello-cron", "namespace": NAMESPACE},
            "data": {"current": key},
        }))  # fmt: skip
        manifest = (ROOT / "examples/hello/kubernetes.yaml").read_text()
        self.apply(manifest.replace("cronix.local/cronix-example:dev", self.images["cronix-example"]))
        self.restart_app()

    def restart_app(self) -> None:
        """Restart the app and wait until the old pod is gone too: until then its Service answers with either."""
        self.kube.run("kubectl", "-n", NAMESPACE, "rollout", "restart", "deployment/hello")
        self.kube.run("kubectl", "-n", NAMESPACE, "rollout", "status", "deployment/hello", "--timeout=120s")
        selector = "app.kubernetes.io/name=hello"
        wait_for("single pod of the app", 60, lambda: len(self.kube.get("pods", "-l", selector)["items"]) == 1)

    def apply_cronix_app(self) -> None:
        path = ROOT / "examples/hello/cronixapp.yaml"
        say(f"the whole configuration ({path.relative_to(ROOT)}):")
        print(path.read_text().rstrip())
        self.apply(path.read_text())
        self.kube.run("kubectl", "-n", NAMESPACE, "wait", f"cxa/{APP}", "--for=condition=Ready", "--timeout=60s")
        self.kube.show("get", "cxa")
        self.kube.show("get", "cronjobs")

    def first_run(self) -> None:
        say("waiting for Kubernetes' own CronJob controller to fire the first slot (at most a minute)")
        job = wait_for("finished run", FIRST_RUN_SECONDS, self.finished_job)
        owner = job["metadata"]["ownerReferences"][0]
        print(f"    Job {job['metadata']['name']} was made by {owner['kind']} {owner['name']}")
        self.kube.show("logs", f"job/{job['metadata']['name']}")
        signed = self.kube.run("kubectl", "-n", NAMESPACE, "logs", f"job/{job['metadata']['name']}")
        run_id = json.loads(signed.splitlines()[-1])["run_id"]
        line = wait_for("line of the app about that run", 15, lambda: self.verified_line(run_id))
        print(f"\n$ kubectl -n {NAMESPACE} logs -l app.kubernetes.io/name=hello | grep verified")
        print(line)

    def verified_line(self, run_id: str) -> str | None:
        """What the app logged when it verified this run."""
        log = self.kube.run("kubectl", "-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/name=hello", "--tail=200")
        return next((line for line in log.splitlines() if line.startswith("verified") and run_id in line), None)

    def finished_job(self) -> dict[str, Any] | None:
        """The first Job of the app's that completed."""
        jobs = self.kube.get("jobs", "-l", f"cronix.dev/app={APP}")["items"]
        for job in jobs:
            conditions = {c["type"] for c in job.get("status", {}).get("conditions", []) if c["status"] == "True"}
            if "Failed" in conditions:
                log = self.kube.run("kubectl", "-n", NAMESPACE, "logs", f"job/{job['metadata']['name']}", check=False)
                raise DemoFailed(f"the run failed:\n{log}")
        return next((j for j in jobs if j.get("status", {}).get("succeeded")), None)

    def change_manifest(self) -> None:
        say("the app declares another schedule for `tick` and a new job `report`; the CronJobs follow")
        before = self.uids()
        jobs = {"tick": "*/2 * * * *", "report": "0 7 * * 1-5"}
        patch = json.dumps({"data": {"jobs.json": json.dumps(jobs)}})
        self.kube.run("kubectl", "-n", NAMESPACE, "patch", "configmap", "hello-jobs", "--type=merge", "-p", patch)
        self.restart_app()
        self.kube.run(
            "kubectl",
            "-n",
            NAMESPACE,
            "annotate",
            "--overwrite",
            f"cxa/{APP}",
            f"cronix.dev/reconcile-at={time.time_ns()}",
        )
        wait_for("new CronJob", FOLLOW_SECONDS, lambda: self.declared(before) == set(jobs.values()))
        self.kube.show("get", "cronjobs")
        print(f"\n    CronJob of `tick`: still uid {next(iter(before.values()))}, changed in place")

    def uids(self) -> dict[str, str]:
        """CronJob name → uid."""
        items = self.kube.get("cronjobs")["items"]
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}

    def declared(self, before: dict[str, str]) -> set[str]:
        """The schedules in the cluster now; DemoFailed when a CronJob that was there has gone or was replaced."""
        now = self.uids()
        lost = [name for name, uid in before.items() if now.get(name) != uid]
        if lost:
            raise DemoFailed(f"CronJobs were replaced: {lost}")
        return {item["spec"]["schedule"] for item in self.kube.get("cronjobs")["items"]}

    def goodbye(self) -> None:
        say("all of it is yours to play with:")
        if self.kube.is_local:
            print("    export KUBECONFIG=$(make -s kubeconfig)")
            print(f"    export PATH={self.kube.env['PATH'].split(':')[0]}:$PATH")
        print(
            f"    kubectl -n {NAMESPACE} get cxa,cronjobs,jobs\n"
            f"    kubectl -n {NAMESPACE} describe cxa {APP}                     # conditions and Events\n"
            f"    kubectl -n {NAMESPACE} logs -l cronix.dev/app={APP} --tail=20   # the signers\n"
            f"    kubectl -n {NAMESPACE} delete cronjob cronix-{APP}-tick-0      # is there again within a second\n"
            f"    kubectl -n {NAMESPACE} create job once --from=cronjob/cronix-{APP}-tick-0   # run it now\n"
            "    make demo-down    # remove the demo     make cluster-down    # stop the local cluster"
        )

    def apply(self, document: str) -> None:
        """kubectl apply into the demo's namespace."""
        self.kube.run("kubectl", "apply", "-n", NAMESPACE, "-f", "-", stdin=document)


def remove(kube: Kube) -> None:
    """Take away namespace and release; the CRD stays, as `helm uninstall` leaves it."""
    kube.run("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found")
    kube.run("helm", "uninstall", "cronix", "--namespace", SYSTEM_NAMESPACE, "--ignore-not-found")
    print("removed; the CRD stays (kubectl delete crd cronixapps.cronix.dev removes it and every CronixApp)")


if __name__ == "__main__":
    sys.exit(main())
