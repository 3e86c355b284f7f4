"""The entries of ``fire.schemes`` in a job file: decoded JSON in, Schemes and faults out; no I/O."""

from cronix_protocol.schemes import SIGNED_FORM, TYPES, form_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from cronix_protocol.jobfields import Fields
    from cronix_protocol.jobfile import JobFile

MAX_KEYS = 2


class Scheme:
    """One further signature of a job: its type, the files of its keys (the first one signs), SHA-1 besides or not."""

    __slots__ = ("files", "kind", "sha1")

    def __init__(self, kind: str, files: tuple[str, ...], *, sha1: bool) -> None:
        self.kind = kind
        self.files = files
        self.sha1 = sha1


def read_schemes(reader: "Fields", entries: "Sequence[object]") -> tuple[Scheme, ...]:
    """Return the schemes; what is wrong with one is noted as a fault of ``reader``."""
    found: dict[str, Scheme] = {}
    for index, entry in enumerate(entries):
        path = f"schemes/{index}"
        fields = entry if isinstance(entry, dict) else {}
        kind, sha1 = fields.get("type"), fields.get("sha1", False)
        files = _files(fields.get("files"))
        if kind not in TYPES:
            reader.fault(f"{path}/type", f"want one of {', '.join(TYPES)}; or a signer as new as the operator")
        elif kind in found:
            reader.fault(f"{path}/type", f"{kind} is there already; the headers of two would be the same")
        elif not files:
            reader.fault(f"{path}/files", f"want 1 to {MAX_KEYS} paths")
        elif not isinstance(sha1, bool) or set(fields) - {"type", "files", "sha1"}:
            reader.fault(path, 'want {"type", "files"} and perhaps "sha1": true or false')
        else:
            found[kind] = Scheme(kind, files, sha1=sha1)
    return tuple(found.values())


def check_form(job: "JobFile", faults: list[tuple[str, str]]) -> None:
    """Note why a job that is to be sent as a signed form cannot be."""
    if any(scheme.kind == SIGNED_FORM for scheme in job.fire.schemes):
        fault = form_fault(job.method, job.body, {header.name: header.value for header in job.headers})
        if fault is not None:
            faults.append((f"job/request/{fault[0]}", fault[1]))


def _files(value: object) -> tuple[str, ...]:
    """Return the paths, none where one of them is no path or there are too many."""
    listed = value if isinstance(value, list) and len(value) <= MAX_KEYS else []
    paths = tuple(path for path in listed if isinstance(path, str) and path and "\0" not in path)
    return paths if len(paths) == len(listed) else ()
