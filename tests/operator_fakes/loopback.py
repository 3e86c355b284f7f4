"""The rules about addresses as they are, but for the one where a test's server lives; and resolvers under control."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cronix_operator.core.targets import Address, is_forbidden_address


def loopback_is_open(address: Address) -> bool:
    """The real rule, but for the one address where the test's server lives."""
    return address != ipaddress.ip_address("127.0.0.1") and is_forbidden_address(address)


class Resolver:
    """Gives each lookup the next list of addresses, the last one again; remembers what was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def to_loopback() -> Resolver:
    return Resolver(["127.0.0.1"])
