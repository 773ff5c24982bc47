"""What every target is, and what it may remember."""

from collections.abc import Mapping
from typing import Final, Protocol

from alerts.message import Message
from stallwatch.errors import Permanent, Transient

TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Target(Protocol):
    """A place where people are told."""

    def send(self, message: Message) -> None:
        """Deliver, within the target's timeout.

        Raises Transient (with `retry_after_s` where the other side named it) or Permanent.
        """
        ...


class Notes(Protocol):
    """A target's memory over restarts: one short text per `dedup_key`."""

    def read(self, dedup_key: str) -> str | None:
        """The note last written for it."""
        ...

    def write(self, dedup_key: str, note: str) -> None:
        """Replace it."""
        ...


def raise_for_status(name: str, status: int, body: str, headers: Mapping[str, str]) -> None:
    """Turn an HTTP answer that is no success into Transient or Permanent.

    The message holds the first 200 characters of the answer and never the address, which is a
    secret.
    """
    if 200 <= status < 300:
        return
    text = f"{name} answered {status}: {body[:200].strip()}"
    if status in TRANSIENT_STATUSES or status >= 500:
        raise Transient(text, retry_after_s=retry_after_s(headers))
    raise Permanent(text)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; None without one or when it is a date (RFC 9110, 10.2.3)."""
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.strip().isdecimal():
            return float(value)
    return None
