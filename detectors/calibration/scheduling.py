"""How long executions usually stand still between a step's end and the scheduling of the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

import numpy as np

from detectors.statistics.samples import Floats, empirical_quantile, sorted_durations
from detectors.statistics.timeouts import TAIL_N_MIN, upper_q
from stallwatch.store import Store

BASELINE: Final = timedelta(hours=24)
LAG: Final = timedelta(minutes=70)
"""The last of it, which may hold the lag that is to be told, teaches nothing."""
SAMPLE: Final = 5_000
"""Gaps after a step that are looked at."""
EXECUTIONS: Final = 20_000
"""Executions of a workflow that are looked at."""
Q: Final = 0.99

StepKey = tuple[str, str, str, str]
"""namespace, engine, workflow, step; the empty step: all steps of the workflow"""


@dataclass(frozen=True)
class Pace:
    """The usual gaps after a step, in seconds: of `n`, the p99 and its upper 95 % limit; `ascending`, all of them."""

    ascending: Floats
    p99_s: float
    upper_s: float

    @property
    def n(self) -> int:
        return len(self.ascending)

    def beyond(self, limit_s: float) -> int:
        """How many were longer."""
        return self.n - int(np.searchsorted(self.ascending, limit_s, side="right"))


def learn_scheduling(store: Store, now: datetime) -> dict[StepKey, Pace]:
    """The paces of every step with enough gaps in the trailing day, and of every workflow."""
    since = now - BASELINE - LAG
    rows = store.select(
        (files("detectors.calibration") / "scheduling.sql").read_text(encoding="utf-8").strip(),
        {
            "from": since,
            "until": now,
            "folded_from": max(0, int(since.timestamp() * 1e6)),
            "sample": SAMPLE,
            "executions": EXECUTIONS,
        },
    )
    return paces_of(rows, now.timestamp())


def paces_of(rows: Sequence[Mapping[str, Any]], now_s: float) -> dict[StepKey, Pace]:
    """From `gaps`, (when, how long) in seconds, by step; a step with too few of them has no pace of its own.

    The last LAG does not count; of a shorter past its second half; where hardly anything is left, everything counts.
    """
    by_place: dict[StepKey, list[Floats]] = {}
    for row in rows:
        gaps = np.asarray(row["gaps"], dtype=np.float64).reshape(-1, 2)
        workflow = (row["namespace"], row["engine"], row["workflow"])
        by_place.setdefault((*workflow, row["step"]), []).append(gaps)
        by_place.setdefault((*workflow, ""), []).append(gaps)
    paces = {}
    for key, parts in by_place.items():
        pace = _pace(np.concatenate(parts), now_s)
        if pace is not None:
            paces[key] = pace
    return paces


def _pace(gaps: Floats, now_s: float) -> Pace | None:
    lag_s = min(LAG.total_seconds(), (now_s - gaps[:, 0].min()) / 2)
    old = gaps[gaps[:, 0] <= now_s - lag_s]
    ascending = sorted_durations((old if len(old) >= TAIL_N_MIN else gaps)[:, 1])
    upper_s = upper_q(ascending, Q)
    if upper_s is None:
        return None
    return Pace(ascending, empirical_quantile(ascending, Q), upper_s)
