"""Which steps run together in an execution, learned by exact counting; no clock is read."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from detectors.statistics.courses import BEGAN, CACHED, FAILED, Course

Run = tuple[str, int]
"""A step, and which of its runs in the execution: of a loop the second round is another one than the first."""
Roster = frozenset[Run]

SURER: Final = 4
"""How often a step is repeated varies with the input more than whether it runs: to call a further run absent takes so
many times as many executions."""


class Seen(NamedTuple):
    """A roster that `n` completed executions of a version had; `first_at`: when the first of them ended."""

    roster: Roster
    version: str
    n: int
    first_at: datetime
    executions: tuple[str, ...]


class Absence(NamedTuple):
    """Runs that are not there. In all of `times` executions of the version with `beside` they were; without that,
    `times` executions had the same roster and one run more, the share `likely` of them this one."""

    runs: tuple[Run, ...]
    beside: Run | None
    times: int
    likely: float

    @property
    def steps(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step for step, _ in self.runs))


@lru_cache(maxsize=CACHED)
def roster_of(course: Course) -> Roster | None:
    """The runs that began; None where a step failed for good: then others follow, or none."""
    if any(text[0] == FAILED for text in course):
        return None
    times: Counter[str] = Counter()
    runs = []
    for text in course:
        if text[0] in BEGAN:
            times[text[1:]] += 1
            runs.append((text[1:], times[text[1:]]))
    return frozenset(runs)


@dataclass
class _Known:
    """What the rosters that count as known teach. A roster is a number whose bits are its runs.

    `always`: by bit, the runs that every one with this run has; `ever`: those that any has. `old`: so many of the
    rare ones, by age, are among them.
    """

    old: int
    rosters: frozenset[int]
    always: dict[int, int]
    ever: dict[int, int]


@dataclass
class _Kind:
    """The executions with one roster."""

    first_at: datetime
    executions: set[str] = field(default_factory=set)
    by_version: Counter[str] = field(default_factory=Counter)


class Rosters:
    """The rosters of a workflow's completed executions, or of its branches of one depth."""

    def __init__(self, seen: Iterable[Seen], often: int) -> None:
        """A roster that so many executions have (`often`) is known, however young it is."""
        self._bits: dict[Run, int] = {}
        self._kinds: dict[int, _Kind] = {}
        self._numbers: dict[Roster, int] = {}
        self._times: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for one in seen:
            bits = [self._bits.setdefault(run, len(self._bits)) for run in sorted(one.roster)]
            number = sum(1 << bit for bit in bits)
            self._numbers[one.roster] = number
            kind = self._kinds.setdefault(number, _Kind(one.first_at))
            kind.first_at = min(kind.first_at, one.first_at)
            kind.executions.update(one.executions)
            kind.by_version[one.version] += one.n
            for bit in bits:
                self._times[one.version][bit] += one.n
        self._runs: Final = tuple(self._bits)
        self._steps: Final = frozenset(step for step, _ in self._runs)
        rare = {n: kind for n, kind in self._kinds.items() if kind.by_version.total() < often}
        self._often: Final = frozenset(self._kinds.keys() - rare.keys())
        self._rare: Final = sorted((kind.first_at, number) for number, kind in rare.items())
        self._known_at: _Known | None = None

    def is_known(self, roster: Roster, before: datetime) -> bool:
        """Whether it was seen in an execution that ended before then, or often."""
        return self._numbers.get(roster) in self._known(before).rosters

    def absence(self, roster: Roster, version: str, before: datetime, least: int) -> Absence | None:
        """What is absent from a roster that is not known before then.

        1. What always ran where something else did that was there in at least `least` executions of the version, and
        what nothing excludes that ran now. 2. Else one run, if at least `least` executions of the version were the
        same but for one more; the most frequent one. 3. Further runs of a step need SURER times as many. A step
        never seen before is news: then nothing is absent.
        """
        if roster not in self._numbers and any(step not in self._steps for step, _ in roster):
            return None
        return self._absence(self._number(roster), version, self._known(before), least)

    def others(self, roster: Roster, absence: Absence, before: datetime) -> frozenset[str]:
        """Executions with rosters that are not known either, and which lack the same: a few of each kind."""
        there = (1 << self._bits[absence.beside]) if absence.beside else self._number(roster)
        lost = sum(1 << self._bits[run] for run in absence.runs)
        alike = (
            self._kinds[number]
            for _, number in self._rare[self._known(before).old :]
            if not number & lost
            and (number & there == there if absence.beside else number == there)
        )
        return frozenset(one for kind in alike for one in kind.executions)

    def _number(self, roster: Roster) -> int:
        """Without runs that were never seen: of a loop's that goes round more often than ever."""
        number = self._numbers.get(roster)
        if number is None:
            number = sum(1 << self._bits[run] for run in roster if run in self._bits)
        return number

    def _absence(self, number: int, version: str, known: _Known, least: int) -> Absence | None:
        if number in known.rosters:
            return None
        return self._always_beside(number, version, known, least) or self._nearly_the_same(
            number, version, least
        )

    def _always_beside(
        self, number: int, version: str, known: _Known, least: int
    ) -> Absence | None:
        times = self._times.get(version, Counter())
        sources = sorted(_bits_of(number), key=lambda bit: (-times[bit], self._runs[bit]))
        demanded_by: dict[int, int] = {}
        for source in sources:
            for bit in _bits_of(known.always.get(source, 0) & ~number):
                if times[source] >= self._least_for(bit, least) and not number & ~known.ever[bit]:
                    demanded_by.setdefault(bit, source)
        if not demanded_by:
            return None
        absent = sorted(demanded_by, key=lambda bit: self._runs[bit])
        source = demanded_by[absent[0]]
        runs = tuple(self._runs[bit] for bit in absent)
        return Absence(runs, self._runs[source], times[source], 1.0)

    def _nearly_the_same(self, number: int, version: str, least: int) -> Absence | None:
        times = {
            self._runs[bit]: kind.by_version[version]
            for bit in range(len(self._runs))
            if not number >> bit & 1 and (kind := self._kinds.get(number | 1 << bit)) is not None
        }
        if not times:
            return None
        total = sum(times.values())
        likeliest = max(times, key=lambda run: (times[run], run))
        if total < self._least_for(self._bits[likeliest], least):
            return None
        return Absence((likeliest,), None, total, times[likeliest] / total)

    def _least_for(self, bit: int, least: int) -> int:
        return least if self._runs[bit][1] == 1 else SURER * least

    def _known(self, before: datetime) -> _Known:
        """Counted again only where another roster has become old enough, so that ticks share it."""
        old = bisect_left(self._rare, (before, -1))
        if self._known_at is None or self._known_at.old != old:
            rosters = self._often | {number for _, number in self._rare[:old]}
            always: dict[int, int] = {}
            ever: dict[int, int] = {}
            for number in rosters:
                for bit in _bits_of(number):
                    always[bit] = always.get(bit, number) & number
                    ever[bit] = ever.get(bit, 0) | number
            self._known_at = _Known(old, rosters, always, ever)
        return self._known_at


def _bits_of(number: int) -> Iterator[int]:
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest
