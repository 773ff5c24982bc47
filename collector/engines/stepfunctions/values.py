"""Values of documents, taken with care: what has the wrong shape is told with the field's name."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from stallwatch.errors import InputError
from stallwatch.model.events import EARLIEST

TEXT_MAX: Final = 2000
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM: Final = 100_000_000_000
"""A larger number of seconds would be in the year 5138."""


class Fields:
    """A JSON object, and where it stands in its document."""

    def __init__(self, value: object, where: str = "") -> None:
        """Raises InputError if `value` is no object."""
        if not isinstance(value, Mapping):
            raise InputError(f"{where or 'the document'}: must be an object")
        self.value: Mapping[str, Any] = value
        self.where = where

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def wrong(self, key: str, why: str) -> InputError:
        return InputError(f"{self.where}.{key}: {why}".removeprefix("."))

    def text(self, key: str, required: bool = False) -> str:
        value = self.value.get(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value):
            raise self.wrong(key, "is required" if value in (None, "") else "must be text")
        return value

    def number(self, key: str) -> int | None:
        """A whole number from 0 on; logs write it as text."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise self.wrong(key, "must be a whole number from 0 on")
        return value

    def time(self, key: str) -> str | None:
        """A time as RFC 3339 in UTC; None where there is none.

        It may be RFC 3339, a datetime that was decoded already, or a number since 1970: seconds in the JSON of the API,
        milliseconds in EventBridge events and in logs (there as text).
        """
        value = self.value.get(key)
        if value is None:
            return None
        try:
            moment = _moment(value)
        except (ValueError, OverflowError, OSError):
            raise self.wrong(key, "must be a time") from None
        if not EARLIEST <= moment < _LATEST:
            raise self.wrong(
                key, f"{moment.isoformat()} cannot be: no such execution was or will be"
            )
        return moment.isoformat(timespec="microseconds")

    def object(self, key: str) -> "Fields":
        """The object, or an empty one where there is none."""
        value = self.value.get(key)
        return Fields({} if value is None else value, f"{self.where}.{key}".removeprefix("."))


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        if not value.isdigit():
            value = datetime.fromisoformat(value)
        elif value.isascii() and len(value) <= 18:
            value = int(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError
        return value.astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if isinstance(value, int) and value >= _MILLISECONDS_FROM:
        # Not divided as floats: microseconds would be lost.
        seconds, milliseconds = divmod(value, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    return datetime.fromtimestamp(value / 1000 if value >= _MILLISECONDS_FROM else value, UTC)
