"""The parallel branches of one running execution: which have completed, which are in trouble, who waits for them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from detectors.detector import Row

OPEN: Final = ("scheduled", "running", "waiting", "backing_off")
FAILED: Final = ("failed", "timed_out")


@dataclass(frozen=True)
class Branch:
    """`label` as its events say it; its attempts, and those of branches inside of it, by their beginning."""

    label: str
    rows: Sequence[Row]

    @property
    def open_rows(self) -> list[Row]:
        return [row for row in self.rows if row["status"] in OPEN]

    @property
    def last(self) -> Row:
        """The attempt that ended last; of a branch in which nothing is open."""
        return max(self.rows, key=lambda row: (row["ended_at"], row["begun_at"]))

    @property
    def has_completed(self) -> bool:
        """Nothing of it is open, and what ended last went well."""
        return not self.open_rows and self.last["status"] == "completed"

    @property
    def failure(self) -> Row | None:
        """The attempt that it failed with, nothing being open or tried again."""
        if self.open_rows or self.last["status"] not in FAILED:
            return None
        return self.last


@dataclass(frozen=True)
class FanOut:
    """Branches that began together, and what is open beside them, where they are to meet again."""

    parent: str
    branches: Sequence[Branch]
    waiting: Sequence[Row]


def parent_of(label: str) -> str:
    """The branch that a branch is in: of `1.0` it is `1`, of `1` none (empty)."""
    return label.rpartition(".")[0]


def is_inside(label: str, branch: str) -> bool:
    """Whether a label is a branch or one inside of it."""
    return label == branch or label.startswith(f"{branch}.")


def fan_outs(rows: Sequence[Row], goes_on: Callable[[Row], bool]) -> Iterator[FanOut]:
    """The fan-outs of one execution whose branches have not met again.

    They have when a step beside them ended after they began (a state around them, or the join), or one began behind
    them that `goes_on`: is under way and in no trouble itself.
    """
    labels = {row["branch"] for row in rows if row["branch"]}
    for label in tuple(labels):
        while label := parent_of(label):
            labels.add(label)
    for parent in sorted({parent_of(label) for label in labels}):
        beside = [row for row in rows if row["branch"] == parent]
        met_at = _met_at(beside)
        branches = []
        siblings = [one for one in labels if parent_of(one) == parent]
        # The shorter first, so that 10 comes behind 9.
        for label in sorted(siblings, key=lambda one: (len(one), one)):
            its_rows = [
                row
                for row in rows
                if is_inside(row["branch"], label) and (met_at is None or row["begun_at"] >= met_at)
            ]
            if its_rows:
                branches.append(Branch(label, its_rows))
        if len(branches) < 2:
            continue
        waiting = [row for row in beside if row["status"] in OPEN]
        if not any(_is_behind(row, branches) and goes_on(row) for row in waiting):
            yield FanOut(parent, branches, waiting)


def _met_at(beside: Sequence[Row]) -> datetime | None:
    """When the last step beside the branches ended: what began before belongs to branches that met, what began at
    that moment to those that it opens."""
    return max((row["ended_at"] for row in beside if row["ended_at"] is not None), default=None)


def _is_behind(row: Row, branches: Sequence[Branch]) -> bool:
    """Whether it began when the branches that ended had ended."""
    ends = [branch.last["ended_at"] for branch in branches if not branch.open_rows]
    return bool(ends) and bool(row["begun_at"] >= max(ends))
