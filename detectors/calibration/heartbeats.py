"""How long the steps that tell heartbeats are silent between them."""

from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from typing import Final

from detectors.calibration.learned import Learned, StepKey
from detectors.calibration.rows import Allowance
from detectors.calibration.steps import learned_from
from stallwatch.store import Store

PAUSES_MIN: Final = 50
"""A step with fewer known pauses is held against its duration alone."""
EXECUTIONS: Final = 20_000
"""So many executions are looked at, however many beat."""


def learn_heartbeats(
    store: Store, since: datetime, until: datetime, sample: int, attempts: Allowance
) -> dict[StepKey, Learned]:
    """The pauses of each step that beats, held to the same budget of false alarms as the `attempts` of all steps."""
    sql = (files("detectors.calibration") / "heartbeats.sql").read_text(encoding="utf-8").strip()
    limits = {"sample": sample, "executions": EXECUTIONS, "least": PAUSES_MIN}
    rows = store.select(sql, {"from": since, "until": until, **limits})
    allowance = replace(attempts, fleet=attempts.fleet + sum(row["n"] for row in rows))
    return {
        (row["namespace"], row["engine"], row["workflow"], row["step"]): learned_from(
            row, allowance.alpha(row)
        )
        for row in rows
    }
