"""Which findings tell of one trouble though nothing but their executions says so.

What stands still is told by one detector after another, as more becomes known of it: a late execution, a late step, a
queue in which nothing ends. For who is told it is one trouble from the first to the last.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from stallwatch.model.findings import Finding, Incident

STANDING_STILL: Final = frozenset(
    {
        "dead_queue",
        "never_started",
        "overdue_execution",
        "overdue_wait",
        "partial_failure",
        "stalled_execution",
        "stalled_step",
    }
)
MOST: Final = 0.5
"""Two findings tell of one trouble if so much of the smaller is in the other."""

_Execution = tuple[str, str, str]


class Likeness:
    """The open incidents by the executions that stand still in them, and the detectors that say so."""

    def __init__(self, open_incidents: Iterable[Incident]) -> None:
        self._said: dict[_Execution, set[tuple[str, str]]] = {}
        self._sizes: dict[str, int] = {}
        for incident in open_incidents:
            still: set[_Execution] = set()
            for finding in incident.findings:
                for one in _standing_still(finding):
                    still.add(one)
                    self._said.setdefault(one, set()).add((incident.id, finding.detector))
            self._sizes[incident.id] = len(still)

    def of(self, finding: Finding) -> Counter[str]:
        """By incident, of how many executions of the finding another detector says there that they stand still, where
        these are most of either."""
        own = _standing_still(finding)
        common = Counter(
            id
            for one in own
            for id in {id for id, by in self._said.get(one, ()) if by != finding.detector}
        )
        return Counter(
            {id: n for id, n in common.items() if n >= MOST * min(len(own), self._sizes[id])}
        )


def _standing_still(finding: Finding) -> frozenset[_Execution]:
    if finding.detector not in STANDING_STILL:
        return frozenset()
    return frozenset((finding.namespace, finding.engine, one) for one in finding.executions)
