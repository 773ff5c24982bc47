"""How long the steps that tell heartbeats are silent between them."""

from datetime import datetime
from importlib.resources import files
from typing import Final

from detectors.calibration.learned import Learned, StepKey
from detectors.calibration.steps import learned_from
from stallwatch.store import Store

PAUSES_MIN: Final = 50
"""A step with fewer known pauses is held against its duration alone."""
EXECUTIONS: Final = 20_000
"""So many executions are looked at, however many beat."""


def learn_heartbeats(
    store: Store, since: datetime, until: datetime, sample: int, budget: float, fleet: float
) -> dict[StepKey, Learned]:
    """The pauses of each step that beats, held to the same `budget` of false alarms a week as the
    `fleet` of attempts."""
    sql = (files("detectors.calibration") / "heartbeats.sql").read_text(encoding="utf-8").strip()
    limits = {"sample": sample, "executions": EXECUTIONS, "least": PAUSES_MIN}
    rows = store.select(sql, {"from": since, "until": until, **limits})
    return {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): learned_from(
            row, budget, fleet + sum(row["n"] for row in rows)
        )
        for row in rows
    }
