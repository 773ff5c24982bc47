"""What there is at all of what detectors look for.

Nearly always nothing has failed and nothing was tried again: a detector whose signs are absent has nothing to select,
and the planning of its statement, which costs more than all else in a small store, is saved.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from detectors.calibration import Calibration
from detectors.detector import Sign, folded_from
from detectors.sql import sql_text
from stallwatch.model.ticks import Tick
from stallwatch.store import Store

LOOK_BACK: Final = timedelta(hours=2)
ROWS_MOST: Final = 500_000
"""Where more was folded, the planning is what costs least: every sign is taken for there."""
_SQL: Final = sql_text("signs")
_EVER: Final = 2**64 - 1


@dataclass(frozen=True)
class Signs:
    """`newest`: by sign the `folded` (µs) of the newest row that bears it; None: there are too many rows to tell."""

    looked_from: int
    newest: Mapping[str, int] | None

    def may_be(self, needed: Collection[Sign], parameters: Mapping[str, Any]) -> bool:
        """Whether a statement with these parameters may find rows that bear one of these signs."""
        since: int = parameters["folded_from"]
        if self.newest is None or since < self.looked_from:
            return True
        return any(self.newest.get(sign, 0) >= max(since, 1) for sign in needed)


def look_for_signs(
    store: Store, tick: Tick, calibration: Calibration, budget_s: float | None
) -> Signs:
    """The signs that what was folded lately bears; a workflow that is known to have branches bears theirs always."""
    looked_from = folded_from(tick, LOOK_BACK)
    rows = store.select(_SQL, {"looked_from": looked_from, "most": ROWS_MOST}, budget_s)
    if any(row["n"] >= ROWS_MOST for row in rows):
        return Signs(looked_from, None)
    newest: dict[str, int] = {}
    for row in rows:
        for sign, folded in row["newest"].items():
            newest[sign] = max(folded, newest.get(sign, 0))
    if any(flow.has_branches for flow in calibration.flows.values()):
        newest["branched"] = _EVER
    return Signs(looked_from, newest)
