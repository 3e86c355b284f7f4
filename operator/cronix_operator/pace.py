"""So many rolls in a second over all apps: who may go on now, and how long the others wait; holds the queue."""

from __future__ import annotations

from collections.abc import Hashable

FORGET_SECONDS = 600.0


class Pace:
    """Gives turns in the order of asking; a turn is worth one second's rolls. Times are monotonic seconds.

    Whoever is told to wait has its turn reserved, so nobody is overtaken for ever and nobody has to ask in between.
    """

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._turns: dict[Hashable, float] = {}
        self._free_at = 0.0  # when the next turn may be reserved
        self._open_at = 0.0  # when the next turn may be taken: of those who come late not all go at once

    def take(self, key: Hashable, wanted: int, now: float) -> tuple[int, float]:
        """How many of the `wanted` rolls may go now, and in how many seconds the rest may ask again."""
        if not wanted:
            self._turns.pop(key, None)
            return 0, 0.0
        turn = self._turns[key] if key in self._turns else self._reserve(key, wanted, now)
        ready_at = max(turn, self._open_at)
        if ready_at > now:
            return 0, ready_at - now
        del self._turns[key]
        count = min(wanted, self._per_second)
        self._open_at = now + count / self._per_second
        return count, (self._reserve(key, wanted - count, now) - now if wanted > count else 0.0)

    def _reserve(self, key: Hashable, wanted: int, now: float) -> float:
        # Turns that nobody came for: the app was deleted, or its image changed back.
        self._turns = {other: turn for other, turn in self._turns.items() if turn > now - FORGET_SECONDS}
        turn = self._turns[key] = max(now, self._free_at, self._open_at)
        self._free_at = turn + min(wanted, self._per_second) / self._per_second
        return turn
