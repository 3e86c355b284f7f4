"""iptables-save's text in, iptables-restore's out: removes what a cluster wrote, keeps every other rule. No I/O."""

from __future__ import annotations

import re

OWN_CHAINS = ("KUBE-", "CNI-", "CRONIX-")
_JUMP = re.compile(r"(?:^|\s)(?:-j|--jump|-g|--goto)\s+(\S+)")
# A comment may say anything, "-j KUBE-SERVICES" included.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_COUNTERS = re.compile(r"\s*\[\d+:\d+\]\s*")


def _is_own(chain: str) -> bool:
    return chain.startswith(OWN_CHAINS)


def _tables(saved: str) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    name = ""
    for line in map(str.strip, saved.splitlines()):
        if line.startswith("*"):
            name = line[1:]
            tables[name] = []
        elif name and line and not line.startswith("#") and line != "COMMIT":
            tables[name].append(line)
    return tables


def removal(saved: str) -> str:
    """The input for `iptables-restore --noflush` that takes our chains and every rule that jumps to them away.

    Empty when there is nothing of ours. Chains are flushed first, then unreferenced, then deleted: in any other order
    the kernel refuses.
    """
    parts: list[str] = []
    for table, lines in _tables(saved).items():
        chains = [line[1:].split()[0] for line in lines if line.startswith(":")]
        own = [chain for chain in chains if _is_own(chain)]
        rules = [_COUNTERS.sub("", line) if line.startswith("[") else line for line in lines]
        jumps = [rule for rule in rules if rule.startswith("-A ") and _jumps_to_own(rule)]
        if not own and not jumps:
            continue
        flushes = [f":{chain} - [0:0]" for chain in own]
        parts += [
            f"*{table}",
            *flushes,
            *("-D " + rule[3:] for rule in jumps),
            *(f"-X {chain}" for chain in own),
            "COMMIT",
        ]
    return "\n".join(parts) + "\n" if parts else ""


def _jumps_to_own(rule: str) -> bool:
    """Rules inside our own chains vanish with the chain; only those elsewhere must be deleted one by one."""
    if _is_own(rule.split()[1]):
        return False
    target = _JUMP.search(_QUOTED.sub("", rule))
    return target is not None and _is_own(target.group(1))


def tables_of(saved: str) -> set[str]:
    """Names of the tables in an iptables-save text."""
    return set(_tables(saved))


def is_blank(table: str, saved: str) -> bool:
    """Whether a table has no rule, no chain of a user's and no policy but ACCEPT: deleting it changes nothing."""
    lines = _tables(saved).get(table, [])
    return all(line.startswith(":") and line.split()[1] == "ACCEPT" for line in lines)


def normalised(saved: str) -> str:
    """The same text without comments, counters and blank tables, sorted by table: for comparing before and after."""
    parts: list[str] = []
    for table, lines in sorted(_tables(saved).items()):
        if is_blank(table, saved):
            continue
        parts += [f"*{table}", *(_COUNTERS.sub(" ", line).strip() for line in lines)]
    return "\n".join(parts)
