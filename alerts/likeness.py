"""Which findings tell of one trouble though nothing but their executions says so.

What stands still is told by one detector after another, as more becomes known of it: a late execution, a late step, a
queue in which nothing ends. So is what fails: an execution, the last attempt of its step, the burst that it is part of.
For who is told it is one trouble from the first to the last.
"""

from collections import Counter
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from stallwatch.model.findings import Finding

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
FAILING: Final = frozenset(
    {
        "error_burst",
        "failed_execution",
        "partial_failure",
        "retries_exhausted",
        "retry_storm",
        "swallowed_error",
        "throttled",
        "timeout_burst",
    }
)
MOST: Final = 0.5
"""Two findings tell of one trouble if so much of the smaller is in the other."""

Name = TypeVar("Name", bound=Hashable)
_Execution = tuple[frozenset[str], str, str, str]


class Likeness(Generic[Name]):
    """Incidents, or groups that become some, by the executions that stand still or fail in them, and the detectors that
    say so."""

    def __init__(self) -> None:
        self._said: dict[_Execution, set[tuple[Name, str]]] = {}
        self._sizes: Counter[tuple[Name, frozenset[str]]] = Counter()

    def add(self, name: Name, finding: Finding) -> None:
        """Count a finding's executions to what has this name."""
        for one in _told(finding):
            said = self._said.setdefault(one, set())
            self._sizes[name, one[0]] += all(other != name for other, _ in said)
            said.add((name, finding.detector))

    def of(self, finding: Finding) -> Counter[Name]:
        """By name, how many executions of the finding another detector says the same of there, where these are most of
        either."""
        own = _told(finding)
        common = Counter(
            (name, one[0])
            for one in own
            for name in {name for name, by in self._said.get(one, ()) if by != finding.detector}
        )
        of_family = Counter(family for family, *_ in own)
        akin: Counter[Name] = Counter()
        for (name, family), n in common.items():
            if n >= MOST * min(of_family[family], self._sizes[name, family]):
                akin[name] += n
        return akin


def _told(finding: Finding) -> frozenset[_Execution]:
    return frozenset(
        (family, finding.namespace, finding.engine, one)
        for family in (STANDING_STILL, FAILING)
        if finding.detector in family
        for one in finding.executions
    )
