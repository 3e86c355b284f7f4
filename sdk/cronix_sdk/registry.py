"""The jobs of one app, by name and by URL path; a reader always sees one whole state. No I/O."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cronix_protocol.manifest import MAX_BYTES
from cronix_sdk import jobs
from cronix_sdk.errors import JobError, SetupError
from cronix_sdk.request import MANIFEST_PATH, TRIGGER_PREFIX

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_JOBS = 256
_FRAME_BYTES = 128  # version, app and brackets
# Every registry of this process by app, to recognise a module that was loaded twice.
_of_app: dict[str, weakref.WeakSet[JobRegistry]] = {}


class JobRegistry:
    """Registered jobs and the manifest made of them. `made_at` is where the app created it, as `file:line`."""

    def __init__(self, app: str, base_url: str, made_at: str) -> None:
        self.app = app
        self.base_url = jobs.check_app(app, base_url)
        self.prefix = jobs.path_prefix(self.base_url)
        self.made_at = made_at
        self._by_name: dict[str, jobs.Registered] = {}
        self._by_route: dict[str, jobs.Registered] = {}
        self._manifest: bytes | None = None
        _of_app.setdefault(app, weakref.WeakSet()).add(self)

    def add(self, entry: jobs.Registered, *, routes_are_fixed: bool = False) -> None:
        """Register a job, or raise `JobError`: name or URL path taken, 256 there already, no route for it any more."""
        name = entry.job.name
        if name in self._by_name:
            raise JobError(f"job {name!r} is declared twice on this Cron; names are unique within an app")
        if entry.route in self._by_route:
            other = self._by_route[entry.route].job.name
            raise JobError(f"job {name!r}: its URL path {entry.route} belongs to job {other!r} already")
        if entry.route.endswith(MANIFEST_PATH):
            raise JobError(f"job {name!r}: {MANIFEST_PATH} is the manifest's own path")
        if routes_are_fixed and not entry.route.startswith(self.prefix + TRIGGER_PREFIX):
            raise JobError(
                f"job {name!r}: a job with a url= of its own is declared before the framework's routes are made"
            )
        if len(self._by_name) >= _MOST_JOBS:
            raise JobError(f"job {name!r}: a manifest holds at most {_MOST_JOBS} jobs")
        size = sum(len(each.served) + 1 for each in (*self._by_name.values(), entry)) + _FRAME_BYTES
        if size > MAX_BYTES:
            raise JobError(f"job {name!r}: with it the manifest has {size} bytes, and at most {MAX_BYTES} are read")
        self._publish({**self._by_name, name: entry})

    def reschedule(self, name: str, schedule: str | Sequence[str]) -> None:
        """Change one job's schedule, or raise `JobError`; the job stays as it was then."""
        entry = jobs.reschedule(self.known(name), schedule, app=self.app, base_url=self.base_url)
        self._publish({**self._by_name, name: entry})

    def remove(self, name: str) -> None:
        """Take a job out, or raise `JobError` when there is none of that name."""
        self.known(name)
        self._publish({key: entry for key, entry in self._by_name.items() if key != name})

    def names(self) -> tuple[str, ...]:
        """The names of all jobs, in the order of their declaration."""
        return tuple(self._by_name)

    def by_name(self, name: str) -> jobs.Registered | None:
        """The job of that name."""
        return self._by_name.get(name)

    def by_route(self, route: str) -> jobs.Registered | None:
        """The job whose URL has this path (prefix included, query excluded)."""
        return self._by_route.get(route)

    def stripped_prefix(self, route: str) -> str:
        """What was taken off the front of a job's path on the way here: the public prefix, or nothing."""
        if not self.prefix or route in self._by_route:
            return ""
        # A prefix such as /api begins like the trigger path itself, so its presence alone proves nothing.
        missing = self.prefix + route in self._by_route or route.startswith(TRIGGER_PREFIX)
        return self.prefix if missing else ""

    def own_routes(self) -> tuple[str, ...]:
        """The paths of jobs outside of the common trigger path: prefix off and decoded, as routers want them."""
        routes = (route.removeprefix(self.prefix) for route in self._by_route)
        return tuple(unquote(route) for route in routes if not route.startswith(TRIGGER_PREFIX))

    def serves(self, route: str) -> bool:
        """Whether a path belongs to the manifest or to triggers, with the public prefix or another mount before it."""
        return (
            route.endswith(MANIFEST_PATH)
            or TRIGGER_PREFIX in route
            or route in self._by_route
            or self.prefix + route in self._by_route
        )

    def manifest(self) -> bytes:
        """The manifest as it is served; raises `SetupError` while there is no job."""
        if not self._by_name:
            text = (
                f"app {self.app!r} has no job: is the module with its @cron.job functions imported, and on this Cron?"
            )
            raise SetupError(text + self.elsewhere(None))
        if self._manifest is None:
            self._manifest = jobs.manifest_json(self.app, tuple(self._by_name.values()))
        return self._manifest

    def elsewhere(self, name: str | None) -> str:
        """A sentence when another Cron of this app in this process has the job (any job, for None), else ""."""
        for other in list(_of_app.get(self.app, ())):
            if other is not self and (name in other._by_name if name is not None else other._by_name):
                return (
                    f"; Cron({self.app!r}) exists twice in this process and the jobs are on the other one, made at "
                    f"{other.made_at}, while the one made at {self.made_at} is served: was the module loaded twice?"
                )
        return ""

    def known(self, name: str) -> jobs.Registered:
        """The job of that name, or `JobError` that names those there are."""
        entry = self._by_name.get(name)
        if entry is None:
            raise JobError(f"there is no job {name!r}; there are: {', '.join(self._by_name) or 'none'}")
        return entry

    def _publish(self, by_name: dict[str, jobs.Registered]) -> None:
        # New dictionaries, never changed ones: a request in another thread sees the old jobs or the new.
        self._by_name = by_name
        self._by_route = {entry.route: entry for entry in by_name.values()}
        self._manifest = None
