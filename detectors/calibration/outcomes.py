"""How executions of each workflow have ended so far: which error types are nothing new."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Final

from stallwatch.store import Store

CLOSED_MIN: Final = 50
"""Closed executions before a failure: with fewer, no error type is unusual."""
WorkflowKey = tuple[str, str, str]


@dataclass(frozen=True)
class Outcomes:
    """`n`: closed executions. `first_at`: the first failure of each error type. `first_closed`: when the first
    CLOSED_MIN of all closed, in their order."""

    n: int = 0
    first_at: Mapping[str, datetime] = field(default_factory=dict)
    first_closed: tuple[datetime, ...] = ()


NOTHING: Final = Outcomes()


def learn_outcomes(store: Store, now: datetime) -> dict[WorkflowKey, Outcomes]:
    """By workflow, from all that is on record and was received by `now`."""
    sql = (files("detectors.calibration") / "outcomes.sql").read_text(encoding="utf-8")
    known: dict[WorkflowKey, Outcomes] = {}
    for row in store.select(sql, {"until": now, "closed_min": CLOSED_MIN}):
        key = (row["namespace"], row["engine"], row["workflow"])
        before = known.get(key, NOTHING)
        first_at = dict(before.first_at)
        if row["failed"]:
            first_at[row["error_type"]] = row["first_at"]
        closed = sorted((*before.first_closed, *row["first_closed"]))[:CLOSED_MIN]
        known[key] = Outcomes(before.n + row["n"], first_at, tuple(closed))
    return known
