"""What the calibration reads: of a busy week executions whose key is low, and all of workflows that are rare; of the
weeks before it workflows that are seldom seen.

Keys are hashes, so those up to a limit are a fair sample, and they lie beside each other: what is above it is not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any, Final

from detectors.calibration.rows import ENOUGH
from stallwatch.store import Store

ATTEMPTS_MAX: Final = 5_000_000
"""About so many are read where there are more."""
RARE: Final = 1_000
"""A workflow with fewer executions in the sample is read whole."""
SELDOM_MAX: Final = 10_000
"""So many workflows with fewer executions than ENOUGH in the last week are read further back, those with most first."""
BUSY_MINUTES: Final = timedelta(days=1)
"""Of a week that is sampled, so much is looked at minute by minute."""
_LAST_KEY: Final = 2**64 - 1

WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""


@dataclass(frozen=True)
class Sample:
    """`one_of`: each execution of the last week that is read stands for so many, unless its workflow is `rare`. Those
    of `seldom` are read further back, and are rare where a sample is read."""

    one_of: float
    rare: frozenset[WorkflowKey] = frozenset()
    seldom: frozenset[WorkflowKey] = frozenset()

    def weight(self, row: Mapping[str, Any]) -> float:
        """For how many each of the row's attempts stands."""
        return 1.0 if _key(row) in self.rare else self.one_of

    def bounds(self, window: Mapping[str, Any]) -> dict[str, Any]:
        """The window (`from`, `until`, …) with the parameters of statements that read the sample: `upto_key`, `rare`,
        and from when on minutes are told apart (`minutes_from`)."""
        whole = self.one_of == 1.0
        return {
            **window,
            "upto_key": _LAST_KEY if whole else int(_LAST_KEY / self.one_of),
            "rare": sorted(self.rare),
            "is_recent": True,
            "minutes_from": window["from"] if whole else window["until"] - BUSY_MINUTES,
        }

    def bounds_of_seldom(self, window: Mapping[str, Any]) -> dict[str, Any]:
        """The same for a window that goes further back than the last week."""
        return {**window, "upto_key": 0, "rare": sorted(self.seldom), "is_recent": False}


def sample_of(store: Store, window: Mapping[str, Any], recent: datetime) -> Sample:
    """What to read of the window (`folded_from`), and of what ended since `recent`."""
    sql = (files("detectors.calibration") / "sampling.sql").read_text(encoding="utf-8").strip()
    rows = store.select(sql, {**window, "recent": recent})
    one_of = max(1.0, sum(row["recent_attempts"] for row in rows) / ATTEMPTS_MAX)
    rare_below = max(RARE * one_of, ENOUGH)
    rare = [row for row in rows if one_of > 1.0 and row["recent_executions"] < rare_below]
    seldom = sorted(
        (row for row in rows if row["recent_executions"] < min(ENOUGH, row["executions"])),
        key=lambda row: (-row["executions"], _key(row)),
    )
    return Sample(one_of, frozenset(map(_key, rare)), frozenset(map(_key, seldom[:SELDOM_MAX])))


def _key(row: Mapping[str, Any]) -> WorkflowKey:
    return (row["namespace"], row["engine"], row["workflow"])
