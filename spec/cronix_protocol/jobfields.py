"""A decoded JSON object in, typed values and a list of faults with their paths out; no I/O."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Fields:
    """One JSON object; what does not fit is noted with its path and a harmless value returned, so that all is found."""

    __slots__ = ("_faults", "_path", "_taken", "_values")

    def __init__(self, values: "Mapping[str, object]", path: str, faults: list[tuple[str, str]]) -> None:
        self._values = values
        self._path = path
        self._faults = faults
        self._taken: set[str] = set()

    def fault(self, key: str, message: str) -> None:
        """Note what is wrong with ``key``."""
        self._faults.append((f"{self._path}/{key}" if self._path else key, message))

    def _take(self, key: str, default: object, want: str) -> object:
        self._taken.add(key)
        value = self._values.get(key)
        if value is not None:
            return value
        if default is None:
            self.fault(key, f"missing; want {want}")
        return default

    def _wrong(self, key: str, value: object, want: str) -> None:
        if value is not None:
            self.fault(key, f"{kind(value)}; want {want}")

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; empty only where ``""`` is the default, required where there is none."""
        value = self._take(key, default, "a string")
        if isinstance(value, str) and (value or default == ""):
            return value
        self._wrong(key, value, "a non-empty string")
        return ""

    def whole(self, key: str, low: int, high: int, default: int) -> int:
        """Return a whole number in ``low..high``; ``60.0`` and ``true`` are none."""
        value = self._take(key, default, "a number")
        if type(value) is int and low <= value <= high:
            return value
        self._wrong(key, value, f"a whole number in {low}..{high}")
        return low

    def flag(self, key: str) -> bool:
        """Return true or false, false when absent."""
        value = self._take(key, False, "true or false")  # noqa: FBT003  # the default of a flag
        if value is not True and value is not False:
            self._wrong(key, value, "true or false")
        return value is True

    def list(self, key: str) -> "Sequence[object]":
        """Return a list, empty when absent."""
        value = self._take(key, (), "a list")
        if isinstance(value, (list, tuple)):
            return value
        self._wrong(key, value, "a list")
        return ()

    def child(self, key: str, default: "Mapping[str, object] | None" = None) -> "Fields":
        """Return the object under ``key``, required where there is no default."""
        value = self._take(key, default, "an object")
        if not isinstance(value, dict):
            self._wrong(key, value, "an object")
            return Fields({}, self._path, [])  # its own faults would only repeat this one
        return Fields(value, f"{self._path}/{key}" if self._path else key, self._faults)

    def items(self) -> "Mapping[str, object]":
        """Return all of it as it is."""
        return self._values

    def refuse_unknown(self, advice: str) -> None:
        """Note every key that was not asked for."""
        for key in self._values:
            if key not in self._taken:
                self.fault(key, advice)


def kind(value: object) -> str:
    """Say what a JSON value is without showing it: it may be a secret in the wrong place."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a string" if value else "an empty string"
    if isinstance(value, (int, float)):
        return f"the number {value!r}"[:40]
    return "null" if value is None else "an object" if isinstance(value, dict) else "a list"
