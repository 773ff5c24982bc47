"""The brain: asks detectors tick by tick and remembers what they said.

A detector is a function of the store, the tick and the calibration, so ticks may be skipped or
repeated. What remembers is the state file: a transition is committed there first, then copied to
the store; a copy that failed or was lost in a crash is made again, which changes nothing where it
was made already.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from detectors.absorption import explained_by, flooded_by, silent_senders_of, waiting_for
from detectors.aftermath import CompletedLate, completed_late
from detectors.calibration import Calibration, learn, raised
from detectors.causes import Causes
from detectors.detector import Context, Detector, Place
from detectors.expectations import remember_expected
from detectors.lifecycle import Changes, advance
from detectors.listening import when_nobody_listened
from detectors.looks import last_looks
from detectors.pace import Pace
from detectors.registry import DETECTORS
from detectors.signs import Signs, look_for_signs
from detectors.statistics.threshold import RATCHET_FACTOR
from stallwatch.config import DetectorsConfig
from stallwatch.errors import StoreOverBudget, StoreUnavailable
from stallwatch.model.findings import Finding, Observation, Status
from stallwatch.model.ticks import Tick
from stallwatch.store import Store
from stallwatch.store.labels import Verdict, count_late, labels
from stallwatch.store.state import State

LEARN_EVERY: Final = timedelta(hours=1)
LEARN_MIN: Final = timedelta(minutes=1)
COPY_EVERY: Final = timedelta(seconds=30)
"""How old what is said in the store of a finding that goes on may be: how long it lasts, above all."""
OPEN: Final = (Status.PENDING, Status.FIRING, Status.UNKNOWN)


class Brain:
    """One caller ticks; another one may calibrate meanwhile. It schedules nothing itself."""

    def __init__(
        self,
        store: Store,
        state: State,
        config: DetectorsConfig,
        epoch: datetime,
        pace: Pace | None = None,
    ) -> None:
        """`epoch`: when the watch began; what happened before is context and never reported.

        `pace`: measures detectors and holds them to a budget; without it each takes as long as it takes.
        """
        self._store = store
        self._state = state
        self._config = config
        self._epoch = epoch
        self._pace = pace
        self._calibration: Calibration | None = None
        # What was learned as it was before it was raised, and what raises it: what somebody said, and what completed.
        self._learned: Calibration | None = None
        self._said_healthy_s: Mapping[Place, float] = {}
        self._late: list[tuple[datetime, Place, float]] = []
        self._forgiven: list[tuple[Finding, datetime]] = []
        self._learned_from = 0
        self._teaching = threading.Lock()
        self._causes = Causes(store)
        self._since = self._refreshed_at = epoch
        # A crash may have come between the commit and the copy.
        self._uncopied: dict[tuple[str, int], Finding] = {
            (finding.fingerprint, finding.number): finding for finding in state.findings()
        }

    def calibrate(self, now: datetime) -> Calibration:
        """Learn anew from the past, and from what somebody said; due at the start and when `has_to_learn` says so."""
        self._learned_from = self._stored()
        learned = learn(self._store, now, self._config.false_alarms_per_week)
        if self._calibration is not None and now - self._epoch < LEARN_EVERY:
            # What senders do while somebody tries out a new watch says nothing of their habits.
            learned = replace(learned, senders=self._calibration.senders)
        remember_expected(self._state, learned)
        # Read before: a tick that commits has the state's lock when it asks for ours.
        healthy_s = self._heard()
        with self._teaching:
            self._learned, self._said_healthy_s = learned, healthy_s
            self._late = [one for one in self._late if one[0] >= now]
            return self._raised(learned)

    def has_to_learn(self, now: datetime) -> bool:
        """Whether what is known is old: an hour, or in the first hour of a watch as old as the watch was then; or a
        minute, and as much again came since: somebody tells a past.
        """
        known = self._calibration
        if known is None:
            return False
        watched = max(timedelta(seconds=known.watched_s), known.at - self._epoch)
        age = now - known.at
        if age < LEARN_MIN:
            return False
        return age >= min(watched, LEARN_EVERY) or self._stored() > 2 * self._learned_from

    def _stored(self) -> int:
        """About how many attempts there are, which costs nothing to know."""
        return int(self._store.select("SELECT count() AS n FROM attempt_fold")[0]["n"])

    def tick(self, until: datetime, only: Collection[str] | None = None) -> list[Finding]:
        """Judge as of `until`; the transitions, already remembered.

        1. ask the detectors, a deeper cause before what it explains; 2. advance the findings' lives;
        3. tell them their causes; 4. commit; 5. copy to the store. `only`: these detectors (and what may explain
        their findings). Raises StoreUnavailable: what was committed is copied by a later tick.
        """
        calibration = self._taught(self._calibration or self.calibrate(until))
        tick = Tick(min(self._since, until), until, self._epoch)
        asked = _with_causes(only, self._config)
        said = self._observe(tick, asked, calibration, {})
        # What a finding that is over explained is told by others now, and not only when it is their turn.
        orphaned = self._orphaned_by(said)
        said = self._observe(tick, orphaned, calibration, said)
        held = [one for ones in said.values() for one in ones]
        observations = self._unacknowledged(until, held)
        earlier = {finding.fingerprint: finding for finding in self._state.findings()}
        ran = said.keys() | _switched_off(self._config)
        changes = advance(earlier, observations, ran, until)
        changes = self._causes.told(tick, earlier, observations, changes)
        late = completed_late(self._store, earlier, changes, until)
        with self._state.transaction():
            self._state.save_findings([*changes.transitions, *changes.updates], until)
            self._end_acknowledgements(held, changes)
            self._learn_from(late, until)
        copied = [*changes.transitions, *changes.news]
        if until - self._refreshed_at >= COPY_EVERY:
            copied, self._refreshed_at = [*changes.transitions, *changes.updates], until
        for finding in copied:
            self._uncopied[finding.fingerprint, finding.number] = finding
        self._copy(until)
        self._since = until
        return list(changes.transitions)

    def findings(self) -> list[Finding]:
        """Those that are pending, firing or unknown, the oldest first."""
        return self._state.findings(OPEN)

    def _orphaned_by(self, said: Mapping[str, list[Observation]]) -> list[Detector]:
        """The detectors that were not asked and give way to one whose finding is over."""
        present = {one.fingerprint for ones in said.values() for one in ones}
        over = {
            one.detector
            for one in self.findings()
            if one.detector in said and one.fingerprint not in present
        }
        return [
            one
            for one in DETECTORS
            if one.id not in said and self._config.wants(one.id) and over & set(one.absorbed_by)
        ]

    def _observe(
        self,
        tick: Tick,
        asked: list[Detector],
        calibration: Calibration,
        earlier: Mapping[str, list[Observation]],
    ) -> dict[str, list[Observation]]:
        """What each says that could be asked in time, beside what was said `earlier` at this tick; of the others, their
        findings explain on."""
        said = dict(earlier)
        if not asked:
            return said
        skipped: list[Finding] = []
        forgiven = [one for one, until in self._forgiven if tick.until <= until]
        looks = last_looks(self._store, tick.until)
        unheard = when_nobody_listened(self._store, tick.until)
        signs = cache(lambda: look_for_signs(self._store, tick, calibration, self._budget_s()))
        for detector in asked:
            causes: list[Observation | Finding] = [*_of(said, detector.absorbed_by)]
            causes += [one for one in (*skipped, *forgiven) if one.detector in detector.absorbed_by]
            context = Context(
                self._config,
                calibration,
                explained=explained_by(causes),
                flooded=flooded_by(causes),
                waiting_steps=waiting_for(_of(said, detector.waits_for)),
                silent_senders=silent_senders_of(said.get("telemetry_silence", ()), skipped),
                looks=looks,
                unheard=unheard,
            )
            try:
                with nullcontext() if self._pace is None else self._pace.timing(detector.id):
                    said[detector.id] = self._ask(detector, tick, context, signs)
            except StoreOverBudget:
                skipped += [one for one in self.findings() if one.detector == detector.id]
                if self._pace is not None:
                    self._pace.skipped(detector.id)
            except StoreUnavailable:
                raise
            except Exception as error:
                # Whatever is wrong with it, the others go on; who asks once wants to know.
                if self._pace is None:
                    raise
                skipped += [one for one in self.findings() if one.detector == detector.id]
                self._pace.failed(detector.id, error)
        return said

    def _ask(
        self, detector: Detector, tick: Tick, context: Context, signs: Callable[[], Signs]
    ) -> list[Observation]:
        budget_s = self._budget_s()
        if detector.idles and not self._store.select(detector.any_sql, {}, budget_s):
            return []
        parameters: dict[str, Any] | None = detector.parameters(tick, context)
        if detector.narrow is not None:
            looked = self._store.select(detector.look_sql, parameters, budget_s)
            parameters = detector.narrow(tick, looked, context)
        if parameters is None:
            return []
        if detector.needs and not signs().may_be(detector.needs, parameters):
            return detector.judge(tick, [], context)
        return detector.judge(tick, self._store.select(detector.sql, parameters, budget_s), context)

    def _budget_s(self) -> float | None:
        return None if self._pace is None else self._pace.budget_s

    def _unacknowledged(
        self, until: datetime, observations: list[Observation]
    ) -> list[Observation]:
        """Without the point findings that someone has acknowledged since they last happened."""
        known = self._state.acknowledgements(until)
        ttl = timedelta(seconds=self._config.point_finding_ttl)
        return [
            one
            for one in observations
            if one.point_until is None
            or (acknowledgement := known.get(one.fingerprint)) is None
            or one.point_until - ttl > acknowledgement.at
        ]

    def _end_acknowledgements(self, held: Iterable[Observation], changes: Changes) -> None:
        """What somebody acknowledged and is over may be told again; what only the acknowledgement hides is not over."""
        true_still = {one.fingerprint for one in held}
        over = {one.fingerprint for one in changes.transitions if one.status is Status.RESOLVED}
        if over - true_still:
            self._state.end_acknowledgements(over - true_still)

    def _taught(self, calibration: Calibration) -> Calibration:
        """The calibration after what somebody said since the last tick; what was taken back raises nothing any more."""
        if not labels(self._state, changed_from=self._since):
            return calibration
        healthy_s = self._heard()
        with self._teaching:
            self._said_healthy_s = healthy_s
            return self._raised(self._learned or calibration)

    def _heard(self) -> dict[Place, float]:
        """How old the steps were, in seconds, that somebody called healthy although they were called stalled. While
        their threshold gives them the time, nothing that their finding explained is told either.
        """
        said = [
            one
            for one in labels(self._state)
            if one.detector == "stalled_step"
            and one.verdict is Verdict.FALSE_ALARM
            and one.age_s is not None
        ]
        until = {
            (one.fingerprint, one.first_seen): one.changed_at
            + timedelta(seconds=(RATCHET_FACTOR - 1) * (one.age_s or 0.0))
            for one in said
        }
        known = self._state.findings(fingerprints=[one.fingerprint for one in said])
        episodes = [(finding, (finding.fingerprint, finding.first_seen)) for finding in known]
        self._forgiven = [(one, until[episode]) for one, episode in episodes if episode in until]
        healthy_s: dict[Place, float] = {}
        for one in said:
            place = (one.namespace, one.engine, one.workflow, one.step)
            healthy_s[place] = max(one.age_s or 0.0, healthy_s.get(place, 0.0))
        return healthy_s

    def _raised(self, learned: Calibration) -> Calibration:
        """The calibration that was learned, raised by all that raises it. Who calls has our lock."""
        healthy_s = dict(self._said_healthy_s)
        for _, place, longest_s in self._late:
            healthy_s[place] = max(longest_s, healthy_s.get(place, 0.0))
        self._calibration = raised(learned, healthy_s)
        return self._calibration

    def _learn_from(self, found: Sequence[CompletedLate], until: datetime) -> None:
        """Count the false alarms that completions show, and expect such durations from now on."""
        late = []
        for one in found:
            count_late(self._state, one.finding, one.n, one.longest_s, until)
            finding = one.finding
            place = (finding.namespace, finding.engine, finding.workflow, finding.step)
            late.append((until, place, one.longest_s))
        with self._teaching:
            self._late += late
            if late and self._learned is not None:
                self._raised(self._learned)

    def _copy(self, now: datetime) -> None:
        self._store.write_findings(list(self._uncopied.values()), now)
        self._uncopied.clear()


def _of(said: Mapping[str, list[Observation]], detectors: Iterable[str]) -> list[Observation]:
    """What these detectors said at this tick."""
    return [one for detector in detectors for one in said.get(detector, ())]


def _switched_off(config: DetectorsConfig) -> set[str]:
    """Detectors that the configuration no longer wants: what they said before is over."""
    return {detector.id for detector in DETECTORS if not config.wants(detector.id)}


def _with_causes(only: Collection[str] | None, config: DetectorsConfig) -> list[Detector]:
    """The detectors to ask, in their order: what they are absorbed by is asked as well."""
    wanted = {
        detector.id
        for detector in DETECTORS
        if config.wants(detector.id) and (only is None or detector.id in only)
    }
    for detector in reversed(DETECTORS):
        if detector.id in wanted:
            causes = (*detector.absorbed_by, *detector.waits_for)
            wanted.update(cause for cause in causes if config.wants(cause))
    return [detector for detector in DETECTORS if detector.id in wanted]
