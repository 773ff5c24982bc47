"""What a request asks for: its query parameters as filters."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

from starlette.datastructures import QueryParams

from dashboards.reading import Filters
from stallwatch.errors import InputError
from stallwatch.model.durations import parse_time


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
            raise InputError(f"{name}: is not a filter here; there are {', '.join(allowed)}")
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
        filters = replace(filters, until=parse_time(asked["until"], now))
    if asked.get("since"):
        filters = replace(filters, since=parse_time(asked["since"], now))
    elif since_s is not None:
        filters = replace(filters, since=min(filters.until, now) - timedelta(seconds=since_s))
    if asked.get("limit"):
        if not asked["limit"].isdecimal():
            raise InputError(f"limit: must be a number, not {asked['limit']!r}")
        filters = replace(filters, limit=int(asked["limit"]))
    return filters
