"""The Lease that at most one operator holds: taken, renewed and given back; nobody writes without it.

Own code, for the election of `kubernetes.aio` gives no deadline to check before a write, does not release, and times
leases by the wall clock (docs/adr/0013).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from cronix_operator.core.errors import Waiting
from cronix_operator.core.lease import Sighting, Terms, claimed, given_up, may_take, sighted
from cronix_operator.core.model import Now
from cronix_operator.edges.api import ApiServer, Reply

logger = logging.getLogger("cronix.operator")


class LeaseLock:
    """One candidate. `identity` must be new for each process, or two of one name would both be in charge.

    Needs a connection of its own: renewals must not queue behind the work that they protect.
    """

    def __init__(
        self, api: ApiServer, place: tuple[str, str], identity: str, terms: Terms, now: Callable[[], Now]
    ) -> None:
        self._api = api
        self._namespace, self._name = place
        self._me = identity
        self._terms = terms
        self._now = now
        self._seen: Sighting | None = None
        self._held_until_monotonic = 0.0

    @property
    def is_leader(self) -> bool:
        """Whether this process may write at this moment."""
        return self._now().monotonic < self._held_until_monotonic

    def fence(self) -> None:
        """Called right before each write; Waiting(NotLeader) when the lease has run out.

        A process that was stopped and wakes up finds its deadline passed before it can write anything: the monotonic
        clock went on without it.
        """
        if not self.is_leader:
            raise Waiting("NotLeader", "this operator does not hold the lease any more, so it writes nothing")

    async def until_won(self) -> None:
        """Wait for the lease."""
        logger.info("waiting for the lease", extra={"reason": "Standby"})
        while True:
            if await self._try():
                break
            await asyncio.sleep(self._terms.retry_seconds)
        logger.info("this operator is in charge", extra={"reason": "Leading"})

    async def until_lost(self) -> None:
        """Renew, and return when somebody else holds the lease.

        While the API server is away nothing is lost: nobody can take the lease there, and the fence lets nothing out.
        """
        while True:
            await asyncio.sleep(self._terms.retry_seconds)
            await self._try()
            if self._seen is not None and self._seen.holder not in ("", self._me):
                logger.warning("%s is in charge now", self._seen.holder, extra={"reason": "LeaseLost"})
                return

    async def release(self) -> None:
        """Give the lease back where it is ours; if this fails, the next one waits for it to run out."""
        if not self.is_leader:
            return
        self._held_until_monotonic = 0.0
        try:
            reply = await self._api.request("GET", self._path)
            spec = reply.body.get("spec") or {}
            if reply.ok and spec.get("holderIdentity") == self._me:
                await self._replace(reply.body, given_up(spec, self._now().utc))
        except Waiting as exc:
            logger.warning("the lease could not be given back: %s", exc.message)

    async def _try(self) -> bool:
        """One attempt to take or renew; the deadline counts from before the request, whenever the answer comes."""
        asked_at = self._now().monotonic
        try:
            reply = await self._write()
        except Waiting as exc:
            logger.warning("the lease could not be renewed: %s", exc.message)
            return False
        if reply is None:
            self._held_until_monotonic = 0.0
            return False
        if reply.ok:
            self._seen = sighted(reply.body, self._seen, self._now().monotonic)
            self._held_until_monotonic = asked_at + self._terms.renew_deadline_seconds
        elif reply.status != 409:  # somebody else wrote it first: look again at the next turn
            logger.warning("the lease was refused: %s", reply.message)
        return reply.ok

    async def _write(self) -> Reply | None:
        """The API server's answer to our claim, None when somebody else holds the lease."""
        reply = await self._api.request("GET", self._path)
        if reply.status == 404:
            meta = {"name": self._name, "namespace": self._namespace}
            spec = claimed({}, self._me, self._terms, self._now().utc)
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
            return await self._api.request("POST", self._path.rpartition("/")[0], body=body)
        if not reply.ok:
            return reply
        self._seen = sighted(reply.body, self._seen, self._now().monotonic)
        if not may_take(self._seen, self._me, self._now().monotonic):
            return None
        spec = claimed(reply.body.get("spec") or {}, self._me, self._terms, self._now().utc)
        return await self._replace(reply.body, spec)

    async def _replace(self, lease: Mapping[str, Any], spec: Mapping[str, Any]) -> Reply:
        """PUT with the version that was read: of two who claim at once, one gets 409."""
        return await self._api.request("PUT", self._path, body={**lease, "spec": spec})

    @property
    def _path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases/{self._name}"
