"""The rows of one tick of `dead_queue`, laid out for arithmetic: attempts counted by age, one beside the other."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.calibration.learned import EVERY_VERSION
from detectors.detector import Context, Row, place_of
from detectors.statistics.silence import OVERDUE, Spells, edge_mid_s
from detectors.statistics.survival import Ints, bin_mid_s
from stallwatch.model.ticks import Tick

WAITS: Final = 3.0
"""What has waited for so many times the median was passed over when something else was started."""
LATENESS_MIN_S: Final = 0.25
"""News of an end takes at least a moment."""


class Entries:
    """Spells of attempts, those of one row beside each other."""

    def __init__(self, spells: Spells, row: Ints, rows: int) -> None:
        self.spells = spells
        self.row = row
        self.start = np.searchsorted(row, np.arange(rows + 1))

    def of(self, numbers: Sequence[int]) -> tuple[Spells, Ints]:
        """The spells of these rows, and where they stand among all."""
        spans = [np.arange(self.start[n], self.start[n + 1]) for n in numbers]
        at: Ints = np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64)
        return self.spells.where(at), at


class SilenceRows:
    """What the rows say of all their attempts.

    `open` and `ended` have spells, whose kinds stand for the hazards of their steps. The other arrays have a value for
    each of these, or for each row: `kind` (-1: unknown), `lost_s`, `wait_s`, `lag_s`.
    """

    def __init__(self, tick: Tick, rows: Sequence[Row], context: Context) -> None:
        self.rows = rows
        self.hazards = context.calibration.liveness.hazards
        kinds = context.calibration.liveness.kinds
        self._kinds = len(kinds)
        self.kind = np.array([kinds.get(place_of(row), -1) for row in rows], dtype=np.int64)
        self.lost_s = np.array([_lost_s(row, context) for row in rows], dtype=np.float64)
        self.wait_s = np.array([_wait_s(row, context) for row in rows], dtype=np.float64)
        self.lag_s = np.array([_lag_s(tick, row, context) for row in rows], dtype=np.float64)

    @cached_property
    def open(self) -> Entries:
        """What is open now."""
        ages, row = _flat(self.rows, "open_ages")
        counts, _ = _flat(self.rows, "open_counts")
        kind = self.kind[row] + self._kinds * ~self.waits
        spells = Spells(kind, bin_mid_s(ages), self.lag_s[row], counts.astype(np.float64))
        return Entries(spells, row, len(self.rows))

    @cached_property
    def waits(self) -> NDArray[np.bool_]:
        """Which of the open attempts nobody has started yet."""
        return _flat(self.rows, "open_waits")[0].astype(bool)

    @cached_property
    def ended(self) -> Entries:
        """What ended in the last minutes."""
        ages, row = _flat(self.rows, "end_ages")
        counts, _ = _flat(self.rows, "end_counts")
        until_s = edge_mid_s(self.edge)
        spells = Spells(
            self.kind[row] + self._kinds,
            until_s + bin_mid_s(ages),
            until_s,
            counts.astype(np.float64),
        )
        return Entries(spells, row, len(self.rows))

    @cached_property
    def edge(self) -> Ints:
        """Behind which of the edges each of what ended did."""
        return _flat(self.rows, "end_edges")[0]

    @cached_property
    def is_close(self) -> Ints:
        """Whether it ended by an end of its own."""
        return _flat(self.rows, "end_closes")[0]

    @cached_property
    def overdue(self) -> NDArray[np.bool_]:
        """Which open attempts are overdue, where executions are named."""
        spells = self.open.spells
        old = spells.expected(self.hazards, np.inf) >= OVERDUE * spells.count
        named = np.array([row["is_named"] for row in self.rows], dtype=bool)
        overdue: NDArray[np.bool_] = old & named[self.open.row]
        return overdue


def _lag_s(tick: Tick, row: Row, context: Context) -> float:
    """For how long an end of one of these may have gone untold."""
    lateness_s = context.calibration.lateness_s(place_of(row))
    behind = tick.until - context.as_of(tick, row)
    return max(lateness_s, LATENESS_MIN_S) + behind / timedelta(seconds=1)


def _lost_s(row: Row, context: Context) -> float:
    """The age beyond which one that runs is taken for lost, not for busy."""
    learned = context.calibration.steps.get(place_of(row), {}).get(EVERY_VERSION)
    limit_s = None if learned is None else learned.limit_s
    return np.inf if limit_s is None else limit_s


def _wait_s(row: Row, context: Context) -> float:
    """How long one of these may wait for its start without being passed over."""
    waits = context.calibration.queue_waits.get(place_of(row))
    return 0.0 if waits is None else WAITS * waits.spread.median_s


def _flat(rows: Sequence[Row], column: str) -> tuple[Ints, Ints]:
    """The values of an array column, one row's after the other, and the number of the row of each."""
    parts = [np.asarray(row[column], dtype=np.int64) for row in rows]
    values = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    return values, np.repeat(np.arange(len(rows)), [len(part) for part in parts])
