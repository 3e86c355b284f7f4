"""One call of the program: what the shared options say, the clock, the screen and the way to the cluster."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from cronix_cli.api import Connect
    from cronix_cli.screen import Screen


class Session:
    """What every command gets. The arguments are the outside world; the rest are the shared options (`options`)."""

    output: str = "table"
    namespace: str | None = None
    all_namespaces: bool = False
    selector: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        connect: Connect,
        screen: Screen,
        sleep: Callable[[float], Awaitable[None]],
        token: Callable[[], str],
    ) -> None:
        self.now = now
        self.connect = connect
        self.screen = screen
        self.sleep = sleep
        self.token = token  # five letters that nobody had before, for the name of a Job

    @property
    def wide(self) -> bool:
        return self.output == "wide"

    @property
    def is_data(self) -> bool:
        """Whether a program reads the answer."""
        return self.output in {"json", "yaml"}
