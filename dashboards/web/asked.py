"""What a request asks for: its query parameters as filters."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import QueryParams

from dashboards.reading import BEGINNING, LIMIT_MAX, Filters
from stallwatch.errors import InputError, UsageError
from stallwatch.model.durations import parse_time
from stallwatch.store import FOREVER

_PLACE: Final = ("namespace", "engine", "workflow", "step")
_PERIOD: Final = ("since", "until")
FILTERS: Final = {
    "findings": ("detector", "status", *_PLACE),
    "incidents": ("status", *_PERIOD, "limit"),
    "executions": (*_PLACE, "status", *_PERIOD, "limit"),
    "execution": ("run", *_PLACE, "status", *_PERIOD),
    "steps": (*_PLACE, "status", *_PERIOD),
    "recommendations": (*_PLACE, "limit"),
    "budget": (),
}
"""What each endpoint of the API can be asked."""


class _Anything(Convertor[str]):
    """As Starlette's `path`, with line feeds: an execution's id may have them."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())


def filters_of(
    asked: QueryParams,
    now: datetime,
    allowed: Collection[str],
    since_s: float | None = None,
    limit: int = 100,
) -> Filters:
    """Read the parameters; one that is not in `allowed` is an InputError that names it.

    `since_s`: how far back to look without `since`; None is everything.
    """
    for name in asked:
        if name not in allowed:
            raise InputError(
                f"{name}: is not a filter here; there are {', '.join(allowed) or 'none'}"
            )
    filters = Filters(
        namespace=asked.get("namespace", ""),
        engine=asked.get("engine", ""),
        workflow=asked.get("workflow", ""),
        step=asked.get("step", ""),
        status=asked.get("status", ""),
        detector=asked.get("detector", ""),
        limit=limit,
    )
    if asked.get("until"):
        filters = replace(filters, until=_time("until", asked["until"], now))
    if asked.get("since"):
        filters = replace(filters, since=_time("since", asked["since"], now))
    elif since_s is not None:
        filters = replace(filters, since=min(filters.until, now) - timedelta(seconds=since_s))
    if asked.get("limit"):
        filters = replace(filters, limit=_limit(asked["limit"]))
    return filters


def _time(name: str, text: str, now: datetime) -> datetime:
    """A time that the store can hold; what is before or after that means the same as its first or last."""
    try:
        return min(max(parse_time(text, now), BEGINNING), FOREVER)
    except UsageError as error:
        raise InputError(f"{name}: {error}") from None


def _limit(text: str) -> int:
    """A number of as many digits as limits have: Python refuses to read thousands of them."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX))):
        raise InputError(f"limit: must be a number between 1 and {LIMIT_MAX}, not {text[:40]!r}")
    return int(text)
