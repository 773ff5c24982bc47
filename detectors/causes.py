"""Which findings have one cause: what their attempts share that other attempts, open or of late, do not.

The findings stay as they are; each is told its cause in its evidence, and the alerts make one incident of equal causes.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from detectors.detector import Place, Row, folded_from
from detectors.lifecycle import Changes
from detectors.population import EXPLAINED, Population, Trouble, is_by_name, populate
from detectors.sql import sql_text
from detectors.statistics.explain import Explanation, Value, explain
from stallwatch.model.causes import DIMENSIONS, EVIDENCE, Cause, cause_of
from stallwatch.model.findings import Finding, Observation, Status
from stallwatch.model.ticks import Tick
from stallwatch.store import Store

LOOK_BACK: Final = timedelta(minutes=10)
BACKGROUND: Final = 10_000
"""About so many other attempts, open ones and ended ones, are read; they stand for all."""
NAMED_MAX: Final = 1500
NAMED_BYTES_MAX: Final = 60_000
"""What is bound to a statement travels in a URL. Of more executions only some are asked for, and where they are the
others count less: the affected share stays what it is."""
FEW_MAX: Final = 10
"""A finding of fewer executions, alone, needs no statistics."""
MOST: Final = 0.5
"""A cause explains a finding if at least so much of it has the cause."""

REFRESH: Final = timedelta(seconds=15)
"""So long the causes are believed while the same findings fire."""

_SQL: Final = sql_text("causes")


class Causes:
    """Tells the findings of each tick their causes. What it remembers only spares work: all of the executions of
    findings whose detector was not asked this time, and for what it asked last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._executions: dict[str, Sequence[str]] = {}
        self._asked_for: frozenset[tuple[str, int]] = frozenset()
        self._asked_at: datetime | None = None

    def told(
        self,
        tick: Tick,
        earlier: Mapping[str, Finding],
        observations: Iterable[Observation],
        changes: Changes,
    ) -> Changes:
        """The changes with the causes in their evidence, and findings that nobody asked for but whose cause is another.

        A finding keeps its cause as long as no other is found. Raises StoreUnavailable.
        """
        kept = {
            one.fingerprint: _keeping(one, earlier.get(one.fingerprint))
            for one in (*changes.transitions, *changes.updates)
        }
        present = {**earlier, **kept}
        firing = {name: one for name, one in present.items() if _is_explained(one)}
        self._executions = {
            name: held for name, held in self._executions.items() if name in firing
        } | {one.fingerprint: one.executions for one in observations if one.fingerprint in firing}
        troubles = [
            Trouble(one, self._executions.get(name, one.executions)) for name, one in firing.items()
        ]
        causes = find_causes(self._store, tick, troubles) if self._is_due(tick, troubles) else {}
        after = {name: with_cause(present[name], cause) for name, cause in causes.items()}
        changed = [one for name, one in after.items() if _key(one) != _key(earlier.get(name))]
        return _merged(changes, {**kept, **after}, changed)

    def _is_due(self, tick: Tick, troubles: Sequence[Trouble]) -> bool:
        if not worth_asking(troubles):
            return False
        asks_for = frozenset(
            (one.finding.fingerprint, one.finding.count.bit_length()) for one in troubles
        )
        if (
            asks_for == self._asked_for
            and self._asked_at is not None
            and tick.until - self._asked_at < REFRESH
        ):
            return False
        self._asked_for, self._asked_at = asks_for, tick.until
        return True


def _keeping(finding: Finding, before: Finding | None) -> Finding:
    """The finding with the cause that it had in this episode, or that it states itself."""
    if before is not None and before.first_seen == finding.first_seen:
        finding = with_cause(finding, cause_of(before.evidence))
    return finding if EVIDENCE in finding.evidence else with_cause(finding, stated(finding))


def stated(finding: Finding) -> Cause | None:
    """The cause that the detector itself says: where nothing ends any more, who throttles."""
    said = finding.evidence
    names = {"dead_queue": str(said.get("group")), "throttled": "downstream"}
    dimension = names.get(finding.detector, "")
    if dimension not in DIMENSIONS or not said.get(dimension):
        return None
    within = {name: getattr(finding, name) for name in DIMENSIONS[dimension][:-1]}
    return Cause(dimension=dimension, value=str(said[dimension]), share=1.0, **within)


def _key(finding: Finding | None) -> tuple[str, ...]:
    cause = None if finding is None else cause_of(finding.evidence)
    return () if cause is None else cause.key


def _merged(changes: Changes, after: Mapping[str, Finding], changed: Iterable[Finding]) -> Changes:
    """The changes with findings as they are `after`; what `changed` its cause is news."""
    transitions = tuple(after[one.fingerprint] for one in changes.transitions)
    moved = {one.fingerprint for one in transitions}
    other = {one.fingerprint: one for one in changed if one.fingerprint not in moved}
    updates = {one.fingerprint: after[one.fingerprint] for one in changes.updates} | other
    news = {one.fingerprint: after[one.fingerprint] for one in changes.news} | other
    return Changes(transitions, tuple(updates.values()), tuple(news.values()))


def worth_asking(troubles: Collection[Trouble]) -> bool:
    """Whether there is more than one small thing to explain."""
    return len(troubles) > 1 or any(one.finding.count >= FEW_MAX for one in troubles)


def _is_explained(finding: Finding) -> bool:
    """Whether the finding is of a kind that may have its cause elsewhere, and certain."""
    return finding.status is Status.FIRING and finding.detector in EXPLAINED


def find_causes(store: Store, tick: Tick, troubles: Sequence[Trouble]) -> dict[str, Cause]:
    """The causes of these findings by fingerprint; those without are missing. Raises StoreUnavailable."""
    sample = sample_of(troubles)
    rows = store.select(
        _SQL,
        {
            "named": sample.named,
            "from": tick.until - LOOK_BACK,
            "until": tick.until,
            "folded_from": folded_from(tick, LOOK_BACK),
            "background": BACKGROUND,
        },
    )
    return causes_of(rows, troubles, sample.stand_for)


@dataclass(frozen=True)
class Sample:
    """`named`: the executions to ask for. `stand_for`: where there are more in trouble (namespace, engine, and the
    workflow and step unless empty), how many each of them stands for."""

    named: Sequence[str]
    stand_for: Mapping[Place, float]


def sample_of(troubles: Sequence[Trouble]) -> Sample:
    """All executions of the findings, or as many of them as a statement can carry: small findings are asked for whole,
    what is left is for the others."""
    ranked = sorted(
        (one for one in troubles if is_by_name(one.finding)), key=lambda one: len(one.executions)
    )
    lengths = [len(name) for one in ranked for name in one.executions]
    left = NAMED_MAX
    if lengths:
        left = min(left, NAMED_BYTES_MAX // (sum(lengths) // len(lengths) + len("'',")))
    named: set[str] = set()
    stand_for: dict[Place, float] = {}
    for rank, one in enumerate(ranked):
        asked = _spaced(one.executions, max(1, left // (len(ranked) - rank)))
        left -= len(asked)
        named.update(asked)
        finding = one.finding
        if asked and finding.count > len(asked):
            place = (finding.namespace, finding.engine, finding.workflow, finding.step)
            stand_for[place] = max(finding.count / len(asked), stand_for.get(place, 1.0))
    return Sample(sorted(named), stand_for)


def _spaced(names: Sequence[str], most: int) -> Sequence[str]:
    """At most so many of the names, evenly spaced."""
    if len(names) <= most:
        return names
    return [names[number * len(names) // most] for number in range(most)]


def causes_of(
    rows: Sequence[Row], troubles: Sequence[Trouble], stand_for: Mapping[Place, float]
) -> dict[str, Cause]:
    """The causes, judged from the counted attempts; pure. `stand_for`: see Sample."""
    population = populate(rows, troubles, stand_for)
    before = {cause_of(one.finding.evidence) for one in troubles}
    before |= {stated(one.finding) for one in troubles}
    held = {
        value
        for cause in before
        if cause is not None and (value := _value_of(cause, population)) is not None
    }
    explanations = explain(population.cells, held)
    causes = {}
    for trouble in troubles:
        told = population.of.get(trouble.finding.fingerprint, {})
        shares = [
            (sum(n for cell, n in told.items() if one.cells[cell]), one) for one in explanations
        ]
        most, best = max(shares, key=lambda pair: pair[0], default=(0, None))
        whole = sum(told.values())
        if best is not None and most > 0 and most >= MOST * whole:
            causes[trouble.finding.fingerprint] = _cause(best, most / whole, population)
    return causes


def _cause(found: Explanation, share: float, population: Population) -> Cause:
    named = _named(found.value, population)
    return replace(
        named,
        share=round(share, 4),
        inside=round(found.affected / found.attempts, 4),
        outside=round(found.outside, 6),
        score=round(found.score, 1),
        also=tuple(_named(value, population).words for value in found.also),
    )


def _named(value: Value, population: Population) -> Cause:
    dimension, code = value
    said: dict[str, Any] = dict(
        zip(DIMENSIONS[dimension], population.names[dimension][code], strict=True)
    )
    name = said.pop(DIMENSIONS[dimension][-1])
    return Cause(dimension=dimension, value=name, **said)


def _value_of(cause: Cause, population: Population) -> Value | None:
    """The code of a cause named before; None when nothing has it any more."""
    columns = DIMENSIONS.get(cause.dimension)
    if columns is None:
        return None
    value = (*(getattr(cause, column) for column in columns[:-1]), cause.value)
    known = population.names[cause.dimension]
    return (cause.dimension, known.index(value)) if value in known else None


def with_cause(finding: Finding, cause: Cause | None) -> Finding:
    """The finding with this cause in its evidence; None changes nothing."""
    if cause is None:
        return finding
    return replace(finding, evidence={**finding.evidence, EVIDENCE: cause.as_evidence()})
