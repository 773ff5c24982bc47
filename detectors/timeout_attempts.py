"""The attempts that say something about a step's timeout."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from detectors.calibration import Declared
from detectors.statistics.samples import Floats, sorted_durations

PER_STEP_MAX: Final = 20_000
"""Attempts of one step that are looked at, the latest; enough for p99.9 with a narrow interval."""
SURVIVAL_POINTS: Final = 120
WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""


@dataclass(frozen=True)
class Attempts:
    """A step's attempts that ended: seconds they took. The unfinished are those that never completed."""

    completed_s: Floats
    timed_out_s: Floats
    cancelled_s: Floats
    current_timeout_s: float | None
    declared: bool
    """Whether someone declared the current timeout; else it is what timed-out attempts lasted."""
    declared_by: str
    """The source of the definition that declared it; empty: the attempts themselves did, or nobody."""
    dropped: int
    """Left out because they ran under a shorter timeout than the current one."""
    capped: bool
    """There were more than PER_STEP_MAX."""


def by_step(
    frame: pd.DataFrame, workflow: WorkflowKey, declared: Declared, most: int = PER_STEP_MAX
) -> Iterator[tuple[str, Attempts]]:
    """Split the rows of a workflow's statement (step, workflow_version, status, duration_s, timeout_s; latest first)
    into steps.

    The current timeout is the latest that an attempt declares, or that of the definition of the latest version, or,
    where attempts time out although none is declared, what the timed-out ones lasted (median). What ran under a
    shorter one is left out: it was cut off where it now would not be, and would pull the percentiles down.
    `most`: how many rows of a step were read at most.
    """
    if frame.empty:
        return
    for step, rows in frame.groupby("step", sort=True):
        duration_s = rows["duration_s"].to_numpy(dtype=np.float64)
        timeout_s = rows["timeout_s"].to_numpy(dtype=np.float64, na_value=np.nan)
        status = rows["status"].to_numpy(dtype=object)
        told = timeout_s[timeout_s > 0]
        seen = duration_s[status == "timed_out"]
        version = str(rows["workflow_version"].iloc[0])
        defined = declared.of((*workflow, str(step)), version).get("timeout_s")
        if len(told):
            current_s: float | None = float(told[0])
        elif defined is not None:
            current_s = float(defined.value)
        else:
            current_s = float(np.median(seen)) if len(seen) else None
        shorter = (timeout_s > 0) & (timeout_s < (current_s or 0.0))
        yield (
            str(step),
            Attempts(
                completed_s=duration_s[(status == "completed") & ~shorter],
                timed_out_s=duration_s[(status == "timed_out") & ~shorter],
                cancelled_s=duration_s[(status == "cancelled") & ~shorter],
                current_timeout_s=current_s,
                declared=len(told) > 0 or defined is not None,
                declared_by=defined.source if defined is not None and not len(told) else "",
                dropped=int(shorter.sum()),
                capped=len(rows) >= most,
            ),
        )


def stuck_s_saved(attempts: Attempts, timeout_s: float) -> float:
    """Seconds that `timeout_s` would have spared the attempts that never completed, at the ages they had.

    A timed-out attempt would have gone on to a longer timeout (negative); a cancelled one that was
    younger would have been cancelled all the same (nothing).
    """
    timed_out = float((attempts.timed_out_s - timeout_s).sum())
    cancelled = float(np.maximum(attempts.cancelled_s - timeout_s, 0.0).sum())
    return timed_out + cancelled


def survival(durations_s: Floats, points: int = SURVIVAL_POINTS) -> tuple[tuple[float, float], ...]:
    """(duration, share that lasted at least as long), ascending: at most `points`, dense in the tail."""
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    if n == 0:
        return ()
    # Shares fall evenly on a logarithmic axis from 1 to 1/n: that is how the curve is drawn.
    longer = np.unique(np.round(np.geomspace(n, 1, points)).astype(np.int64))[::-1]
    return tuple((float(ascending[n - count]), float(count / n)) for count in longer)
