"""What every target is, and what it may remember."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

from alerts.message import Message
from alerts.targets.posting import Answer
from stallwatch.errors import Permanent, Transient

TRANSIENT_REFUSALS: Final = frozenset({408, 425, 429})
"""Of the statuses that say the request is at fault, those that say to try again."""


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


def raise_for_status(name: str, answer: Answer, may_pass: Collection[int] = ()) -> None:
    """Turn an answer that is no success into Transient or Permanent; `may_pass`: more statuses to try again on.

    A redirect is no success: followed, it leads to a login page that answers 200 to everything.
    """
    status = answer.status
    if 200 <= status < 300:
        return
    text = f"{name} answered {status}: {answer.said}"
    if 400 <= status < 500 and status not in TRANSIENT_REFUSALS and status not in may_pass:
        raise Permanent(text)
    raise Transient(text, retry_after_s=retry_after_s(answer.headers))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header (RFC 9110, 10.2.3), None without one.

    It may be a date: that of the answer is subtracted from it, so that this machine's clock does not matter.
    """
    wish = headers.get("Retry-After", "").strip()
    if wish.isdecimal():
        return float(wish)
    try:
        wished, said = parsedate_to_datetime(wish), parsedate_to_datetime(headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None
    return max(0.0, (_aware(wished) - _aware(said)).total_seconds())


def _aware(when: datetime) -> datetime:
    """A date with the zone -0000 is in UTC and says no more."""
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)
