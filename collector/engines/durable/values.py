"""Values in documents from strangers: texts, numbers and times, as far as they can be believed."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from stallwatch.errors import InputError
from stallwatch.model.events import EARLIEST, FUTURE_MAX

ERROR_MAX: Final = 2000
NAME_MAX: Final = 500
_DUE_BEFORE: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Timers that never fire are due in the year 9999; the store's times end with 2299."""


def text(data: Mapping[str, Any], *names: str, most: int = NAME_MAX) -> str:
    """The first of some fields that is a text, cut."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str) and value:
            return value[:most]
    return ""


def required(data: Mapping[str, Any], *names: str) -> str:
    found = text(data, *names)
    if not found:
        raise InputError(f"{names[0]}: is required")
    return found


def number(data: Mapping[str, Any], *names: str) -> int | None:
    """The first of some fields that is a whole number; protobuf's JSON writes large ones as texts."""
    for name in names:
        value = data.get(name)
        if isinstance(value, str):
            value = int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            return value
    return None


def mapping(value: object) -> Mapping[str, Any]:
    """An object; one inside of a text too, as tables keep them; an empty one if there is none."""
    if isinstance(value, str) and value[:1] == "{":
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeError):
            return {}
    return value if isinstance(value, Mapping) else {}


def time(value: object) -> datetime | None:
    """A moment, to the microsecond; what has no offset is UTC, as .NET's documents mean it."""
    if isinstance(value, datetime):
        # The tables' own kind of datetime becomes a plain one.
        moment = datetime.combine(value.date(), value.timetz())
    elif isinstance(value, str) and value[:4].isdigit():
        try:
            moment = datetime.fromisoformat(_microseconds(value))
        except ValueError:
            return None
    else:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        return None


def sane(value: object, received_at: datetime) -> datetime | None:
    """A moment that something can have happened at: not 1970, not the far future."""
    moment = time(value)
    if moment is None or not EARLIEST <= moment <= received_at + FUTURE_MAX:
        return None
    return moment


def due(value: object) -> datetime | None:
    """When a timer is due, which may be long after now; None where it means never."""
    moment = time(value)
    return moment if moment is not None and EARLIEST <= moment < _DUE_BEFORE else None


def written(moment: datetime) -> str:
    """As facts keep it, and as runs are named where they are named by their start."""
    return moment.isoformat().replace("+00:00", "Z")


def size(value: object) -> int | None:
    """Bytes of a payload as JSON, or of the text that holds it; None for none."""
    if value is None:
        return None
    return len(value.encode() if isinstance(value, str) else msgspec.json.encode(value))


def seconds(value: object) -> float | None:
    """A .NET TimeSpan: `00:05:00`, `1.02:00:00`, `-1` and `-00:00:00.001` for none."""
    if not isinstance(value, str) or value.startswith("-"):
        return None
    days, point, rest = value.rpartition(".") if "." in value.split(":")[0] else ("0", "", value)
    if point:
        days, _, rest = value.partition(".")
    parts = rest.split(":")
    try:
        units = [float(part) for part in parts]
        total = float(days) * 86400
    except ValueError:
        return None
    if len(units) == 1 and not point:
        # A bare number of a TimeSpan is days.
        total += units[0] * 86400
    elif len(units) in (2, 3):
        total += sum(unit * scale for unit, scale in zip(units, (3600, 60, 1), strict=False))
    else:
        return None
    return total if math.isfinite(total) and 0 < total < 2**31 else None


def _microseconds(moment: str) -> str:
    """Python reads up to six digits of a second; .NET writes seven, protobuf nine."""
    head, point, rest = moment.partition(".")
    if not point:
        return moment
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}"
