"""The contract as code: what both ends of a signed cron call agree on; standard library only, no I/O.

``sign``, ``verify`` and ``Verification`` are loaded at first use, so that importing one light module stays light.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .signature import Verification, sign, verify

__all__ = ["Verification", "sign", "verify"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from . import signature

        return getattr(signature, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
