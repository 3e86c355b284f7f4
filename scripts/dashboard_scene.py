"""Take the docs' picture of the dashboard: three apps, real runs for a while, a real Prometheus, a real browser.

    PYTHONPATH=tests:cluster:operator:spec .venv/bin/python scripts/dashboard_scene.py MINUTES docs/dashboard.png

The cluster of `make cluster-up` must be up with the operator in it, `build/images.json` be there, and chromium be
installed. The namespaces shop, payments and reports are made and deleted again.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dashboard_picture

from cronix_cluster.paths import Paths
from e2e.chart_helpers import Helm
from e2e.e2e_helpers import Place, Puppet, cronix_app, manifest
from e2e.prometheus_helpers import chart_rules, operator_targets, prometheus
from e2e.run_scenes import by_hand, quick

MINUTELY = "* * * * *"
TWICE = {"max_attempts": 2, "min_seconds": 1, "max_seconds": 2}
ROOT = Path(__file__).parents[1]


def kubectl(*arguments: str, stdin: object = None, **_: Any) -> Any:
    """kubectl on the local cluster, as the tests call it."""
    command = [str(Paths().bin / "kubectl"), "--kubeconfig", str(Paths().kubeconfig), *arguments]
    text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)  # what the tests' helpers expect of it
    return json.loads(done.stdout) if "json" in arguments else done.stdout


@contextmanager
def an_app(name: str, image: str, *jobs: dict[str, Any], **spec: Any) -> Iterator[tuple[Place, Puppet]]:
    """An app on strings in a namespace of its name."""
    kubectl("create", "namespace", name)
    try:
        place = Place(kubectl, name)
        puppet = Puppet(place, image, key=secrets.token_hex(32))
        puppet.serve(manifest(name, *jobs))
        place.apply(cronix_app(name, **spec))
        place.wait_ready(name)
        yield place, puppet
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def play(
    minutes: float, shop: tuple[Place, Puppet], payments: tuple[Place, Puppet], reports: tuple[Place, Puppet]
) -> None:
    """What happens meanwhile: an outage, a job that goes, a foreign hand, a manifest that breaks, runs by hand."""
    start, seen = time.monotonic(), set[str]()

    def at(share: float, what: str) -> bool:
        due = what not in seen and time.monotonic() - start > share * minutes * 60
        seen.update([what] if due else [])
        return due

    number = 0
    while time.monotonic() - start < minutes * 60:
        number += 1
        with suppress(AssertionError):  # a run by hand more or less
            by_hand(shop[0], "shop", "sync", f"by-hand-{number}")
        if at(0.25, "outage"):
            payments[1].manage(answers={"settle": {"status": 503}})
        if at(0.5, "foreign hand"):
            patch = json.dumps({"spec": {"schedule": "7 7 7 7 *"}})
            shop[0].kubectl("patch", "cronjob", "cronix-shop-stock-0", "--type=merge", "-p", patch)
        if at(0.6, "recovery"):
            payments[1].manage(answers={})
        if at(0.62, "a job goes"):
            reports[1].serve(manifest("reports", quick("hourly", "7 * * * *")))
        if at(0.8, "a broken manifest"):
            payments[1].manage(manifest_status=500)
        time.sleep(9)


def main(minutes: float, picture: Path) -> None:
    """See the head of this file."""
    image = json.loads((ROOT / "build/images.json").read_text())["cronix-example"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stock = [quick("sync", MINUTELY), quick("stock", "*/2 * * * *"), quick("mails", MINUTELY)]
        shop = stack.enter_context(an_app("shop", image, *stock))
        settle = quick("settle", MINUTELY, retries=TWICE)
        payments = stack.enter_context(an_app("payments", image, settle, quick("payout", "0 3 * * 1-5")))
        gone = quick("forgotten", MINUTELY)
        reports = stack.enter_context(an_app("reports", image, quick("hourly", "7 * * * *"), gone))
        shop[1].manage(answers={"mails": {"status": 404, "body": "no such list"}, "sync": {"seconds": 1.5}})
        rules = chart_rules(Helm(Paths().kubeconfig))
        server = stack.enter_context(prometheus(folder, operator_targets(kubectl), rules))
        play(minutes, shop, payments, reports)
        variables = {"namespace": "shop|payments|reports", "name": ".*"}
        asked = dashboard_picture.Prometheus(f"http://{server.address}", time.time(), minutes * 60, variables)
        page = picture.with_suffix(".html")
        page.write_text(dashboard_picture.page(asked), "utf-8")
    photograph(page, picture)


def photograph(page: Path, picture: Path) -> None:
    """The page as a PNG, as wide and as high as its grid."""
    high = dashboard_picture.page_height()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
    with tempfile.TemporaryDirectory() as profile:
        command = ["chromium", *flags, f"--user-data-dir={profile}", f"--window-size=1230,{high}"]
        subprocess.run(
            [*command, f"--screenshot={picture.resolve()}", page.resolve().as_uri()], check=True, timeout=120
        )


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]))
