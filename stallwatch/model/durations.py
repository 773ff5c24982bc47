"""Durations (`250ms`, `2s`, `5m`, `3d`) and times (RFC 3339, `-15m`, `now`) as people write them."""

import re
from datetime import UTC, datetime, timedelta

from stallwatch.errors import InputError

UNIT_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
DURATION_MAX_S = 1e10
"""About 317 years: with more, times leave the calendar."""
_LENGTH_MAX = 100
"""Of a duration's text: looking for its parts takes the square of its length."""
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d|w)")


def parse_duration_s(text: object) -> float:
    """Seconds of `250ms`, `2s`, `1h30m` or a plain number of seconds; InputError otherwise."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise InputError(f"a duration such as 250ms, 2s, 5m or 3d is needed, not {text!r}")
    if isinstance(text, int | float):
        if not 0 <= text <= DURATION_MAX_S:
            raise InputError(f"a duration cannot be negative or longer than {DURATION_MAX_S:.0f} s")
        return float(text)
    stripped = text.strip()
    if stripped == "0":
        return 0.0
    parts = _DURATION.findall(stripped) if len(stripped) <= _LENGTH_MAX else []
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise InputError(f"a duration such as 250ms, 2s, 5m or 3d is needed, not {text!r}")
    seconds = sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
    if seconds > DURATION_MAX_S:
        raise InputError(f"a duration cannot be longer than {format_duration(DURATION_MAX_S)}")
    return seconds


def format_duration(seconds: float) -> str:
    """Seconds for a person's eyes: `85ms`, `2.4s`, `3m 20s`, `2h 05m`, `3d 4h`."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.3g}s"
    whole = round(seconds)
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m {rest:02d}s" if rest else f"{minutes}m"
    if whole < 86400:
        hours, rest = divmod(whole, 3600)
        return f"{hours}h {rest // 60:02d}m" if rest // 60 else f"{hours}h"
    days, rest = divmod(whole, 86400)
    return f"{days}d {rest // 3600}h" if rest // 3600 else f"{days}d"


def parse_time(text: str, now: datetime) -> datetime:
    """An aware UTC time from RFC 3339 with an offset, `now`, or `-15m` (that long before `now`)."""
    stripped = text.strip()
    if stripped == "now":
        return now
    if stripped.startswith("-"):
        return now - timedelta(seconds=parse_duration_s(stripped[1:]))
    try:
        when = datetime.fromisoformat(stripped)
    except ValueError:
        raise InputError(
            f"a time such as 2026-11-22T10:00:00Z, -15m or now is needed, not {text!r}"
        ) from None
    if when.tzinfo is None:
        raise InputError(f"the time {text!r} has no offset: write a Z or +01:00 behind it")
    try:
        return when.astimezone(UTC)
    except OverflowError:
        raise InputError(f"the time {text!r} is out of range") from None


def rfc3339(when: datetime) -> str:
    """`2026-11-22T10:00:00.123456Z`, the one form in which times leave Stallwatch."""
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
