"""One harness at a time: an flock that says who holds it."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cronix_cluster.console import say
from cronix_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _holder(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, 4096).decode(errors="replace").strip() or "a process that has not said its name yet"


@contextmanager
def cluster_lock(path: Path, command: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the cluster's lock during the block, or raise ClusterError naming pid, command and since when.

    The kernel drops an flock when its process dies, however it dies: there is no stale lock to clean up.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if not wait:
                raise ClusterError(f"the local cluster is in use: {holder}; try again later or add --wait") from None
            say(f"waiting for {holder}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        since = time.strftime("%H:%M:%S")
        os.pwrite(descriptor, f"pid {os.getpid()} runs `{command}` since {since}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
