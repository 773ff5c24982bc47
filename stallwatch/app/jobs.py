"""What a service does again and again, by its roles."""

import logging
import threading
from datetime import timedelta
from functools import partial
from typing import Any, Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import Tracer

from detectors.recommendations import recommend_timeouts
from stallwatch.app.alive import EVERY_S
from stallwatch.app.lease import RENEW_S
from stallwatch.app.parts import Parts
from stallwatch.app.reporting import write_weekly_report
from stallwatch.app.roles import Role
from stallwatch.app.ticker import Ticker
from stallwatch.store.forgetting import Retention
from stallwatch.store.labels import forget_labels
from stallwatch.store.recommending import write_recommendations
from stallwatch.store.watch import LOOK_S as STORE_LOOK_S

TICK_S: Final = 1.0
ALERT_S: Final = 1.0
STATISTICS_S: Final = 10.0
TIDY_S: Final = 300.0
HOUR_S: Final = 3600.0
LOOK_S: Final = 20.0
"""How often it is asked whether all is to be learned anew."""
RECENT_MIN_S: Final = 26 * HOUR_S
"""What was folded so long ago is still asked for: mostly an hour back, at most as long as healthy things take."""
FORGET_FINDINGS: Final = timedelta(days=30)
REPORT_PAST: Final = timedelta(days=28)
_log = logging.getLogger(__name__)


class Jobs:
    """The jobs of one service."""

    def __init__(self, parts: Parts, meter: Meter, tracer: Tracer) -> None:
        self._parts = parts
        self._roles = parts.roles
        self._ticker = Ticker(parts.clock, meter, tracer)
        self._transitions = meter.create_counter(
            "stallwatch.finding.transitions", "1", "Findings that began or ended to fire"
        )
        self._past_came = threading.Event()
        self._judged_at = parts.clock.now()

    def start(self) -> None:
        """Begin; the hourly ones run at the start as well."""
        parts, ticker = self._parts, self._ticker
        every = partial(ticker.every, first_at=parts.clock.now())
        held = parts.lease.while_held
        if not parts.is_shared or self._roles & {Role.DETECTORS, Role.WEB}:
            every(STATISTICS_S, "statistics", self.statistics)
        if parts.is_shared:
            # Apart from the other jobs, which a store that hangs holds up.
            every(STORE_LOOK_S, "store", parts.watch.look, executor="watch")
            every(RENEW_S, "lease", parts.lease.renew, executor="watch")
        if parts.alive is not None:
            every(EVERY_S, "listening", parts.alive.note)
        if Role.DETECTORS in self._roles:
            # The first tick learns by itself; later, ticks go on with what was known while all is learned anew.
            judging = partial(held, Role.DETECTORS)
            every(LOOK_S, "calibrate", judging(self._calibrate), executor="calibration")
            every(TICK_S, "detect", judging(self._tick), executor="brain")
            every(TIDY_S, "tidy", judging(self._tidy))
            every(HOUR_S, "recommend", judging(self._recommend))
            every(HOUR_S, "retain", judging(self._retain))
            report = parts.settings.report
            ticker.by_cron(report.cron, report.timezone, "report", judging(self._report))
        for polling in parts.pollings:
            every(polling.every_s, f"poll-{polling.name}", polling.tick, executor="polls")
        if Role.ALERTS in self._roles:
            every(ALERT_S, "alert", held(Role.ALERTS, self._alert), executor="alerts")
        ticker.start()

    def stop(self) -> None:
        """Let running jobs end, begin no more."""
        self._ticker.stop()

    def learn_soon(self) -> None:
        """Somebody imported a past: thresholds do not wait for the next hour."""
        self._past_came.set()

    def _tick(self) -> None:
        """Judge as of the moment up to which everything received is folded: what only waits here is not late."""
        if self._parts.alive is not None:
            # Before anything is judged: this process may have been frozen.
            self._parts.alive.note()
        now = self._parts.clock.now()
        due = self._parts.pace.due(now)
        judged_at = min(now, self._parts.collector.batcher.oldest_waiting_at() or now)
        if due and self._parts.folder.catch_up_when_rested():
            for finding in self._parts.brain.tick(judged_at, due):
                told = {
                    "detector": finding.detector,
                    "status": finding.status.value,
                    "workflow": finding.workflow,
                    "step": finding.step,
                    "fingerprint": finding.fingerprint,
                }
                _log.info("finding", extra=told)
                labels = {"detector": finding.detector, "status": finding.status.value}
                self._transitions.add(1, labels)
            self._parts.pace.asked(due, now)
            self._judged_at = now

    def detecting(self) -> dict[str, Any]:
        """For how many seconds detectors have not judged, and which of them fail; nothing where they do not run."""
        if Role.DETECTORS not in self._roles:
            return {}
        idle_s = (self._parts.clock.now() - self._judged_at) / timedelta(seconds=1)
        return {"idle_s": idle_s, "failing": dict(self._parts.pace.failing)}

    def _calibrate(self) -> None:
        if not (
            self._past_came.is_set() or self._parts.brain.has_to_learn(self._parts.clock.now())
        ):
            return
        self._past_came.clear()
        # What was received before is known to be folded: afterwards only what comes later is new.
        self._parts.folder.catch_up()
        self._parts.brain.calibrate(self._parts.clock.now())

    def statistics(self) -> None:
        """Make the histograms what the closed attempts are."""
        self._parts.store.refresh_statistics()

    def _alert(self) -> None:
        transitions = self._parts.dispatcher.tick()
        if transitions:
            self._parts.store.write_incidents(
                [t.incident for t in transitions], self._parts.clock.now()
            )

    def _recommend(self) -> None:
        now = self._parts.clock.now()
        found = recommend_timeouts(
            self._parts.store, now - REPORT_PAST, now, self._parts.settings.report.buffer
        )
        write_recommendations(self._parts.store, found, now)

    def _report(self) -> None:
        report = write_weekly_report(
            self._parts.store, self._parts.settings, self._parts.clock.now()
        )
        _log.info("weekly report written", extra={"path": str(report.path)})
        lines = [*report.headlines, f"The whole report: {report.path}"]
        receivers = self._parts.settings.report.to
        self._parts.dispatcher.announce(receivers, report.name, "Timeout tuning report", lines)

    def _tidy(self) -> None:
        judged = self._parts.settings.detectors
        reach_s = judged.point_finding_ttl + judged.gap_confirm + HOUR_S
        self._parts.store.tidy(self._parts.clock.now(), max(RECENT_MIN_S, reach_s))

    def _retain(self) -> None:
        kept = self._parts.settings.store.retention
        now = self._parts.clock.now()
        self._parts.store.retain(
            now, Retention(kept.spans, kept.events, kept.closed, kept.statistics)
        )
        self._parts.state.forget_findings(now - FORGET_FINDINGS)
        self._parts.state.forget_acknowledgements(now)
        forget_labels(self._parts.state, now - FORGET_FINDINGS)
