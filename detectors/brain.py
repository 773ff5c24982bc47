"""The brain: asks detectors tick by tick and remembers what they said.

A detector is a function of the store, the tick and the calibration, so ticks may be skipped or
repeated. What remembers is the state file: a transition is committed there first, then copied to
the store; a copy that failed or was lost in a crash is made again, which changes nothing where it
was made already.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from detectors.absorption import explained_by
from detectors.calibration import Calibration, learn, raised
from detectors.detector import Context, Detector, ExecutionKey, Place
from detectors.lifecycle import Changes, advance
from detectors.looks import last_looks
from detectors.registry import DETECTORS
from stallwatch.config import DetectorsConfig
from stallwatch.model.findings import Finding, Observation, Status
from stallwatch.model.ticks import Tick
from stallwatch.store import Store
from stallwatch.store.state import State

OPEN: Final = (Status.PENDING, Status.FIRING, Status.UNKNOWN)


class Brain:
    """Not thread-safe: one caller ticks. It schedules nothing itself."""

    def __init__(
        self, store: Store, state: State, config: DetectorsConfig, epoch: datetime
    ) -> None:
        """`epoch`: when the watch began; what happened before is context and never reported."""
        self._store = store
        self._state = state
        self._config = config
        self._epoch = epoch
        self._calibration: Calibration | None = None
        self._since = epoch
        # A crash may have come between the commit and the copy.
        self._uncopied: dict[str, Finding] = {
            finding.fingerprint: finding for finding in state.findings()
        }

    def calibrate(self, now: datetime) -> Calibration:
        """Learn anew from the last seven days; due at the start and every hour."""
        self._calibration = learn(self._store, now, self._config.false_alarms_per_week)
        return self._calibration

    def tick(self, until: datetime, only: Collection[str] | None = None) -> list[Finding]:
        """Judge as of `until`; the transitions, already remembered.

        1. ask the detectors, a deeper cause before what it explains; 2. advance the findings' lives;
        3. commit; 4. copy to the store. `only`: these detectors (and what may explain their
        findings). Raises StoreUnavailable: what was committed is copied by a later tick.
        """
        calibration = self._calibration or self.calibrate(until)
        tick = Tick(min(self._since, until), until, self._epoch)
        asked = _with_causes(only, self._config)
        observations = self._observe(tick, asked, calibration)
        earlier = {finding.fingerprint: finding for finding in self._state.findings()}
        ran = {detector.id for detector in asked} | _switched_off(self._config)
        changes = advance(earlier, observations, ran, until)
        self._state.save_findings([*changes.transitions, *changes.updates], until)
        let_go = _let_go(earlier, changes)
        if let_go:
            self._calibration = raised(self._store, calibration, let_go, until)
        for finding in (*changes.transitions, *changes.news):
            self._uncopied[finding.fingerprint] = finding
        self._copy(until)
        self._since = until
        return list(changes.transitions)

    def findings(self) -> list[Finding]:
        """Those that are pending, firing or unknown, the oldest first."""
        return self._state.findings(OPEN)

    def _observe(
        self, tick: Tick, asked: list[Detector], calibration: Calibration
    ) -> list[Observation]:
        said: dict[str, list[Observation]] = {}
        looks = last_looks(self._store, tick.until)
        for detector in asked:
            context = Context(
                self._config,
                calibration,
                explained=self._explained(detector, said),
                silent_senders=frozenset(one.key for one in said.get("telemetry_silence", [])),
                looks=looks,
            )
            rows = self._store.select(detector.sql, detector.parameters(tick, context))
            said[detector.id] = detector.judge(tick, rows, context)
        return self._unacknowledged(tick.until, [one for ones in said.values() for one in ones])

    def _explained(
        self, detector: Detector, said: dict[str, list[Observation]]
    ) -> frozenset[ExecutionKey]:
        return explained_by(one for cause in detector.absorbed_by for one in said.get(cause, ()))

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

    def _copy(self, now: datetime) -> None:
        self._store.write_findings(list(self._uncopied.values()), now)
        self._uncopied.clear()


def _switched_off(config: DetectorsConfig) -> set[str]:
    """Detectors that the configuration no longer wants: what they said before is over."""
    return {detector.id for detector in DETECTORS if not config.wants(detector.id)}


def _let_go(earlier: Mapping[str, Finding], changes: Changes) -> set[Place]:
    """The steps that were called stalled in an execution and no longer are: it may have completed."""
    return {
        (after.namespace, after.engine, after.workflow, after.step)
        for after in (*changes.transitions, *changes.news)
        if after.detector == "stalled_step"
        and (before := earlier.get(after.fingerprint)) is not None
        and before.status is Status.FIRING
        and (after.status is Status.RESOLVED or set(before.executions) - set(after.executions))
    }


def _with_causes(only: Collection[str] | None, config: DetectorsConfig) -> list[Detector]:
    """The detectors to ask, in their order: what they are absorbed by is asked as well."""
    wanted = {
        detector.id
        for detector in DETECTORS
        if config.wants(detector.id) and (only is None or detector.id in only)
    }
    for detector in reversed(DETECTORS):
        if detector.id in wanted:
            wanted.update(cause for cause in detector.absorbed_by if config.wants(cause))
    return [detector for detector in DETECTORS if detector.id in wanted]
