"""What the calibration reads of a busy week: executions whose key is low, and all of workflows that are rare.

Keys are hashes, so those up to a limit are a fair sample, and they lie beside each other: what is above it is not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any, Final

from stallwatch.store import Store

ATTEMPTS_MAX: Final = 5_000_000
"""About so many are read where there are more."""
RARE: Final = 1_000
"""A workflow with fewer executions in the sample is read whole."""
BUSY_MINUTES: Final = timedelta(days=1)
"""Of a week that is sampled, so much is looked at minute by minute."""
_LAST_KEY: Final = 2**64 - 1

WorkflowKey = tuple[str, str, str]
"""namespace, engine, workflow"""


@dataclass(frozen=True)
class Sample:
    """`one_of`: each execution that is read stands for so many, unless its workflow is `rare`."""

    one_of: float
    rare: frozenset[WorkflowKey]

    def weight(self, row: Mapping[str, Any]) -> float:
        """For how many each of the row's attempts stands."""
        key = (row["namespace"], row["engine"], row["workflow"])
        return 1.0 if key in self.rare else self.one_of

    def bounds(self, window: Mapping[str, Any]) -> dict[str, Any]:
        """The window (`from`, `until`, …) with the parameters of statements that read the sample: `upto_key`, `rare`,
        and from when on minutes are told apart (`minutes_from`)."""
        whole = self.one_of == 1.0
        return {
            **window,
            "upto_key": _LAST_KEY if whole else int(_LAST_KEY / self.one_of),
            "rare": sorted(self.rare),
            "minutes_from": window["from"] if whole else window["until"] - BUSY_MINUTES,
        }


def sample_of(store: Store, window: Mapping[str, Any]) -> Sample:
    """What to read of the window (`folded_from`)."""
    sql = (files("detectors.calibration") / "sampling.sql").read_text(encoding="utf-8").strip()
    rows = store.select(sql, window)
    one_of = max(1.0, sum(row["attempts"] for row in rows) / ATTEMPTS_MAX)
    rare = (
        (row["namespace"], row["engine"], row["workflow"])
        for row in rows
        if one_of > 1.0 and row["executions"] < RARE * one_of
    )
    return Sample(one_of, frozenset(rare))
