"""The rights that the operator needs, where it needs them, and how to say which are missing; pure.

The same list as the chart's roles; a test compares the two. A right too many is as wrong as one too few.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence

from cronix_operator.core.app import GROUP, PLURAL

MAX_PLACES_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource. `namespace`: empty means in every namespace; `name`: empty means every object."""

    namespace: str
    group: str
    resource: str
    verb: str
    subresource: str = ""
    name: str = ""

    @property
    def kind(self) -> str:
        """The resource as `kubectl auth can-i` takes it: `cronjobs.batch/status`."""
        base = f"{self.resource}.{self.group}" if self.group else self.resource
        return base + (f"/{self.subresource}" if self.subresource else "")

    @property
    def is_vital(self) -> bool:
        """Without this one its namespace is not looked after: what is not seen can neither be put right nor be told."""
        watched = {PLURAL, "cronjobs", "jobs", "pods"}
        return self.resource in watched and not self.subresource and self.verb in {"list", "watch"}


WATCHED: Sequence[tuple[str, str, str, str]] = (
    (GROUP, PLURAL, "", "get list watch"),
    (GROUP, PLURAL, "status", "patch"),
    ("batch", "cronjobs", "", "get list watch create update delete"),
    ("batch", "cronjobs", "status", "patch"),
    ("batch", "jobs", "", "get list watch"),
    ("", "pods", "", "get list watch"),
    ("", "events", "", "create patch"),
    ("", "services", "", "get"),
    ("", "configmaps", "", "get"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Where the operator works. `namespaces`: none means everywhere. `secrets_namespaces`: "" in it means wherever it
    watches; none means that each namespace grants Secrets by itself. `lease`: namespace and name, with an election.
    `writes_successes`: whether ConfigMaps may be written wherever it watches, or each namespace grants that itself."""

    namespaces: tuple[str, ...] = ()
    secrets_namespaces: tuple[str, ...] = ("",)
    lease: tuple[str, str] | None = None
    writes_successes: bool = False


def needed(scope: Scope) -> tuple[Right, ...]:
    """Every right that the operator uses in this scope."""
    places = scope.namespaces or ("",)
    rights = [
        Right(place, group, resource, verb, subresource)
        for place in places
        for group, resource, subresource, verbs in WATCHED
        for verb in verbs.split()
    ]
    secrets = places if "" in scope.secrets_namespaces else scope.secrets_namespaces
    rights += [Right(place, "", "secrets", "get") for place in secrets]
    if scope.writes_successes:
        rights += [Right(place, "", "configmaps", verb) for place in places for verb in ("create", "update", "delete")]
    if scope.lease is not None:
        home, name = scope.lease
        leases = Right(home, "coordination.k8s.io", "leases", "create")
        rights.append(leases)
        rights += [dataclasses.replace(leases, verb=verb, name=name) for verb in ("get", "update")]
    return tuple(rights)


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What a look at the rights found. `watch`: the namespaces that can be watched ("" is the whole cluster).

    `faults`: one sentence for each thing that is missing; empty when everything is there.
    """

    watch: tuple[str, ...]
    faults: tuple[str, ...] = ()


def judge(scope: Scope, missing: Collection[Right], *, crd_served: bool) -> View:
    """What can be worked on with these rights missing, and what to say about the rest."""
    if not crd_served:
        text = (
            f"the CRD {PLURAL}.{GROUP} of version v1alpha1 is not in the cluster; install it "
            "(chart: crds.install, or kubectl apply --server-side -f crds/)"
        )
        return View((), (text,))
    lease_missing = any(right.resource == "leases" for right in missing)
    blind = {right.namespace for right in missing if right.is_vital}
    watch = () if lease_missing else tuple(place for place in scope.namespaces or ("",) if place not in blind)
    return View(watch, tuple(_sentences(missing, blind)))


def _sentences(missing: Iterable[Right], blind: Collection[str]) -> Iterable[str]:
    by_place: dict[str, list[Right]] = {}
    for right in missing:
        by_place.setdefault(right.namespace, []).append(right)
    for place, rights in by_place.items():
        where = f'in namespace "{place}"' if place else "in the cluster"
        yield f"the operator may not {_listed(rights)} {where}; {_consequence(rights, blind=place in blind)}"


def _listed(rights: Iterable[Right]) -> str:
    """`get, list pods; get secrets`, in the order of the list."""
    verbs: dict[str, list[str]] = {}
    for right in rights:
        verbs.setdefault(right.kind + (f' "{right.name}"' if right.name else ""), []).append(right.verb)
    return "; ".join(f"{', '.join(words)} {kind}" for kind, words in verbs.items())


def _consequence(rights: Sequence[Right], *, blind: bool) -> str:
    if blind:
        return "CronixApps there are not looked after until a Role or ClusterRole grants it (chart: rbac.create, watch)"
    if any(right.resource == "leases" for right in rights):
        return "without it no leader can be elected, so nothing is done (chart: rbac.create, leaderElection)"
    return "what needs it fails and says so in the CronixApp's condition (chart: rbac)"


def summary(faults: Sequence[str]) -> str:
    """The faults as a few lines, for a person at the readiness endpoint."""
    more = len(faults) - MAX_PLACES_SHOWN
    return "\n".join([*faults[:MAX_PLACES_SHOWN], *([f"and {more} more; see the log"] if more > 0 else [])])
