"""Values out of the answers of REST APIs: what is missing is empty, what is wrong is named."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from stallwatch.errors import InputError

Answer = Mapping[str, Any]


def text(answer: Answer, name: str, where: str = "") -> str:
    """A text; empty if it is missing or null. InputError if it is something else."""
    value = answer.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{where}{name}: must be text")
    return value


def number(answer: Answer, name: str, where: str = "", default: int = 0) -> int:
    """A whole number; `default` if it is missing or null."""
    value = answer.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value + 1 < 2**31:
        raise InputError(f"{where}{name}: must be a whole number")
    return value


def seconds(answer: Answer, name: str, where: str = "") -> float | None:
    """A duration in seconds, not negative; None if it is missing or null."""
    value = answer.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise InputError(f"{where}{name}: must be a number of seconds")
    return float(value)


def time(answer: Answer, name: str, where: str = "") -> datetime | None:
    """A time with its offset, in UTC; None if it is missing or null."""
    value = text(answer, name, where)
    if not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise InputError(f"{where}{name}: {value[:40]!r} is no time") from None
    if parsed.tzinfo is None:
        raise InputError(f"{where}{name}: needs an offset (Z or +01:00)")
    return parsed.astimezone(UTC)


def inner(answer: Answer, name: str, where: str = "") -> Answer:
    """An object; empty if it is missing or null."""
    value = answer.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}{name}: must be an object")
    return value


def listed(answer: Answer, name: str) -> list[Answer]:
    """A list of objects; empty if it is missing or null."""
    value = answer.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InputError(f"{name}: must be an array of objects")
    return value
