"""A job's further signatures: key files in, headers and body out; imported only for a job that asks for them."""

from cronix_protocol.schemes import (
    FORM_TYPE,
    SEVERAL_SIGNATURES,
    SIGNED_FORM,
    Outgoing,
    form_body,
    scheme_headers,
)
from cronix_protocol.schemes.common import KeyUnfit

from .keys import NoKey, signing_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cronix_protocol.jobfile import JobFile
    from cronix_protocol.schemes.jobentries import Scheme

_SHORTEST_SIGNATURE = 40  # SHA-1 in hex


class Extra:
    """What the schemes make of one attempt; ``hidden`` are texts that no log may show if the app sends them back."""

    __slots__ = ("body", "headers", "hidden")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.headers: list[tuple[str, str]] = []
        self.hidden: list[str] = []


def sign_extra(
    job: "JobFile", run_id: str, attempt: int, timestamp: int, *, trim: bool, skipped: "Callable[[str], None]"
) -> Extra:
    """Sign one attempt with every scheme of the job, each with its own keys, read now.

    Raises ``NoKey`` where one of them has no key or one that is none of its kind: a request that lacks one of the
    signatures that were asked for is not sent.
    """
    extra = Extra(job.body)
    request = Outgoing(url=job.url.text, body=job.body, run_id=run_id, attempt=attempt, timestamp=timestamp)
    # The form first: the other signatures cover it.
    for scheme in sorted(job.fire.schemes, key=lambda scheme: scheme.kind != SIGNED_FORM):
        keys = _keys(scheme, trim=trim, skipped=skipped)
        try:
            if scheme.kind == SIGNED_FORM:
                extra.body = request.body = form_body(keys[0], request)
                extra.headers.append(("Content-Type", FORM_TYPE))
                signed = [extra.body.decode("ascii")]
            else:
                made = scheme_headers(scheme.kind, keys, request, sha1=scheme.sha1)
                extra.headers += made
                signed = [value for _, value in made if value != run_id]
        except KeyUnfit as error:
            raise NoKey(f"{scheme.kind}: {' or '.join(scheme.files)}: {error}") from None
        extra.hidden += [*keys, *(word for value in signed for word in _words(value))]
    return extra


def _keys(scheme: "Scheme", *, trim: bool, skipped: "Callable[[str], None]") -> list[str]:
    refs = [("file", path) for path in scheme.files]
    try:
        return signing_keys(refs, {}, trim=trim, skipped=skipped, several=scheme.kind in SEVERAL_SIGNATURES)
    except NoKey as error:
        raise NoKey(f"{scheme.kind}: {error}") from None


def _words(value: str) -> list[str]:
    """Return the parts of a header or form that are signatures."""
    for separator in "=,.&":
        value = value.replace(separator, " ")
    return [word for word in value.split(" ") if len(word) >= _SHORTEST_SIGNATURE]
