"""The service: the rooms put together, started in order and stopped in the opposite one."""

import logging
import sys
import threading
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, Final, TextIO

from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from alerts.dispatcher import Dispatcher
from collector.engines.polling import Polling
from collector.service import Collector
from dashboards.web import web_app
from detectors.brain import Brain
from detectors.pace import Pace
from detectors.recommendations import recommend_timeouts
from stallwatch.app import replaying
from stallwatch.app.access import (
    data_folder,
    declare_configured,
    new_store,
    open_state,
    shelf_folder,
    spool_folder,
    state_folder,
)
from stallwatch.app.alive import EVERY_S, Alive
from stallwatch.app.caught_up import CaughtUp
from stallwatch.app.claim import Claim
from stallwatch.app.connections import ended_counter
from stallwatch.app.control import GoOn, LongWork, control_app
from stallwatch.app.feedback import BudgetMetrics, budget_rows, judged
from stallwatch.app.folder import Folder
from stallwatch.app.forgetting import forget_everywhere
from stallwatch.app.guard import Guard, refused_counter
from stallwatch.app.late_store import LateStore
from stallwatch.app.lease import RENEW_S, Lease
from stallwatch.app.listening import HttpServer, allow_open_files, bind
from stallwatch.app.pulling import chosen
from stallwatch.app.replay.scoring import replayed
from stallwatch.app.reporting import write_weekly_report
from stallwatch.app.roles import Role
from stallwatch.app.stopping import Endings
from stallwatch.app.store_watch import LOOK_S as STORE_LOOK_S
from stallwatch.app.store_watch import StoreWatch
from stallwatch.app.ticker import Ticker, cron_trigger
from stallwatch.app.tls import tls_of
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.config.settings import is_loopback
from stallwatch.config.tokens import TokenFile, new_token
from stallwatch.errors import InputError, StoreRefused, StoreUnavailable
from stallwatch.model.durations import parse_time
from stallwatch.model.events import EARLIEST
from stallwatch.model.findings_json import finding_to_json
from stallwatch.store.forgetting import Retention
from stallwatch.store.labels import forget_labels
from stallwatch.store.recommending import write_recommendations
from stallwatch.store.sender_state import write_spool_bytes
from stallwatch.telemetry import setup

ALL_ROLES: Final = frozenset(Role)
TICK_S: Final = 1.0
ALERT_S: Final = 1.0
COLLECTOR_END_S: Final = 15.0
"""What it still holds is put on disk: that is waited for."""
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


class Service:
    """One process of Stallwatch. `start` returns when it serves; `stop` when all that was accepted is stored."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        roles: frozenset[Role] = ALL_ROLES,
        console: TextIO = sys.stdout,
    ) -> None:
        """`console`: where a console receiver writes.

        Takes hold of an embedded store, on a server of the roles; UsageError if another process has them.
        """
        cron_trigger(settings.report.cron, settings.report.timezone)
        self.settings = settings
        self.roles = roles
        self._clock = clock
        self.registry = CollectorRegistry()
        folder = data_folder(settings)
        self._is_shared = folder is None
        # A server may hang; what an embedded store still does is waited for.
        self._endings = Endings(leaving=self._is_shared)
        self._on_stop = self._endings.add
        self._claims: list[Claim] = []
        try:
            if folder is not None:
                self._claim(Claim.take(folder))
            else:
                for role in sorted(roles):
                    self._claim(Claim.take_role(state_folder(settings), role))
            self._assemble(console)
        except BaseException:
            # Whatever the reason, also Ctrl-C: what was opened is given back, above all the hold on the store.
            self.stop()
            raise

    def _claim(self, claim: Claim) -> None:
        self._claims.append(claim)
        self._on_stop("claim", claim.release)

    def _assemble(self, console: TextIO) -> None:
        """Build every part in the order of need; each leaves behind how to stop it."""
        settings, clock = self.settings, self._clock
        self._collector_tls = tls_of("collector", settings.collector)
        self._web_tls = tls_of("web", settings.web)
        self._local_token = new_token()
        self._sent_away = refused_counter(self.registry)
        self._ended = ended_counter(self.registry)
        endpoint = settings.telemetry.otlp_endpoint or None
        listening = [
            _host_port(settings.collector.otlp_http),
            _host_port(settings.collector.otlp_grpc),
        ]
        self._telemetry = setup(version("stallwatch"), self.registry, endpoint, listening)
        self._on_stop("telemetry", self._telemetry.shutdown)
        meter = self._telemetry.meter("stallwatch.app")
        self._transitions = meter.create_counter(
            "stallwatch.finding.transitions", "1", "Findings that began or ended to fire"
        )
        Gauge("stallwatch_build_info", "Version", ["version"], registry=self.registry).labels(
            version("stallwatch")
        ).set(1)
        self.store = new_store(settings)
        self._on_stop("store", self.store.close)
        inserting = LateStore(self.store, clock)
        self._migrate(inserting)
        self._watch = StoreWatch(self.store, clock)
        self.state = open_state(settings)
        self._on_stop("state", self.state.close)
        self._lease = Lease(
            self.store.engine, self.state, clock, self.roles if self._is_shared else ()
        )
        self._lease.take()
        self._on_stop("lease", self._lease.give_back)
        self._drop_left_over()
        if Role.DETECTORS in self.roles:
            # Whoever judges says what is declared: a collector beside it may have another configuration.
            declare_configured(self.store, settings, clock)
        self.registry.register(BudgetMetrics(self.state, settings.detectors, clock))
        self._folder = Folder(self.store, clock, meter)
        self._pace = Pace(clock, meter)
        self.brain = Brain(self.store, self.state, settings.detectors, EARLIEST, self._pace)
        self.dispatcher = Dispatcher(
            self.state, settings.alerts, clock, self.registry, stream=console
        )
        self._on_stop("alerts", self.dispatcher.close)
        self.collector = Collector(
            settings.collector,
            inserting,
            clock,
            self.registry,
            [self._folder.committed],
            self._local_token,
            spool_folder(settings) if Role.COLLECTOR in self.roles else None,
            self._tell_spooled,
            shelf_folder(settings) if Role.COLLECTOR in self.roles else None,
            settings.engines.shelf_max_bytes,
        )
        self._pollings: list[Polling] = []
        self._alive: Alive | None = None
        if Role.COLLECTOR in self.roles:
            self._alive = Alive(self.store, self.state, clock)
            self._pollings = self.collector.pollings(settings.engines, self.state)
        for polling in self._pollings:
            self._on_stop(f"poll-{polling.name}", polling.close)
        self._ticker = Ticker(clock, meter, self._telemetry.tracer("stallwatch.app"))
        self._past_came = threading.Event()
        """Somebody imported a past, and thresholds should not wait for the next hour."""
        self._started = False
        self._judged_at = clock.now()
        self._long_work = LongWork()

    def _migrate(self, store: LateStore) -> None:
        """A collector that has a spool can wait for a server; whoever reads cannot."""
        try:
            store.migrate()
        except (StoreUnavailable, StoreRefused) as error:
            if self.roles != {Role.COLLECTOR} or not self._spools:
                raise
            _log.error("the store is away: what comes is spooled", extra={"reason": str(error)})

    def _drop_left_over(self) -> None:
        """Copies of the history that a `detect` or `replay` left behind when it was killed."""
        if self._is_shared and Role.DETECTORS not in self.roles:
            return
        try:
            left = self.store.drop_left_over_scratch()
        except (StoreUnavailable, StoreRefused) as error:
            # They only take room: that is no reason not to serve.
            _log.warning("left-over databases stay", extra={"reason": str(error)})
            return
        if left:
            _log.info("left-over databases dropped", extra={"databases": ", ".join(left)})

    def start(self) -> None:
        """Listen, then begin the work that repeats. UsageError names an address that cannot be had."""
        try:
            self._listen()
        except BaseException:
            # As above: no thread and no listener outlives a start that failed.
            self.stop()
            raise
        self._schedule()
        # The youngest: no listener is to wait for an answer that takes minutes.
        self._on_stop("long work", self._long_work.stop)
        self._started = True
        _log.info(
            "serving",
            extra={
                "web": self.web_url,
                "otlp_http": self.ingest_url,
                "otlp_grpc": self.grpc_address,
            },
        )

    def _listen(self) -> None:
        self.web_url = self.ingest_url = self.grpc_address = ""
        self._folder.start()
        self._on_stop("folder", self._folder.stop)
        self._on_stop("collector", self.collector.close, COLLECTOR_END_S)
        allow_open_files()
        local_ingest = self._listen_for_senders() if Role.COLLECTOR in self.roles else ""
        local_web = self._listen_for_readers() if Role.WEB in self.roles else ""
        for claim in self._claims:
            claim.announce(local_web, local_ingest, self._local_token)

    def _listen_for_senders(self) -> str:
        """Serve OTLP and events; returns the address for this machine's commands."""
        if self._alive is not None:
            self._alive.begin()
            self._on_stop("listening", self._alive.end)
        config, tls, app = self.settings.collector, self._collector_tls, self.collector.http_app
        listener = bind("collector.otlp_http", config.otlp_http)
        context = None if tls is None else tls.context
        server = HttpServer(
            "otlp-http", app, listener, self._ended, context, config.max_connections
        )
        self.ingest_url = server.url
        host = config.otlp_grpc.rpartition(":")[0]
        credentials = None if tls is None else tls.grpc_credentials()
        self.grpc_address = f"{host}:{self.collector.start_grpc(credentials=credentials)}"
        self._serve(server)
        return self._way_for_commands(server, app)

    def _listen_for_readers(self) -> str:
        """Serve pages, API and SQL; returns the address for this machine's commands."""
        config, tls = self.settings.web, self._web_tls
        pages: ASGIApp = self._web()
        guarded = pages
        if config.tokens_file is not None:
            tokens = TokenFile(config.tokens_file, "web.tokens_file", self._clock)
            guarded = Guard(pages, tokens, self._local_token, self._sent_away)
        context = None if tls is None else tls.context
        listener = bind("web.listen", config.listen)
        server = HttpServer("web", guarded, listener, self._ended, context)
        self.web_url = server.url
        self._serve(server)
        return self._way_for_commands(server, pages)

    def _serve(self, server: HttpServer) -> None:
        server.start()
        self._on_stop(server.name, server.stop)

    def _way_for_commands(self, server: HttpServer, app: ASGIApp) -> str:
        """The address by which this machine's commands reach an application.

        Where its listener speaks TLS (a command may have no certificate of its own, and 127.0.0.1 is in no other) or is
        not on loopback, that is a listener of its own, which opens to the local token alone.
        """
        if server.url.startswith("http:") and is_loopback(server.address):
            return server.url
        guarded = Guard(app, None, self._local_token, self._sent_away)
        listener = bind("127.0.0.1:0", "127.0.0.1:0")
        own = HttpServer(f"{server.name}-local", guarded, listener, self._ended)
        self._serve(own)
        return own.url

    def _web(self) -> Starlette:
        guarded = self.settings.web.tokens_file is not None
        pages = web_app(
            self.store, self.state, self._clock, self.registry, self.not_ready,
            budget=self._budget, guarded=guarded,
        )  # fmt: skip
        control = control_app(
            {
                "forget": self._forget,
                "fold": self._catch_up,
                "pull": self._pull,
                "engines": self._engines,
                "feedback": self._feedback,
                "budget": lambda _fields: self._budget(),
                "detectors": lambda _fields: self._detecting(),
            },
            {"detect": self._detect, "replay": self._replay},
            self._long_work,
        )
        web = Starlette(routes=[Mount("/control", control)])
        # Not mounted too: no mount takes a path with a line feed, and an execution's id may have one.
        web.router.default = CaughtUp(pages, self._folder.catch_up)
        return web

    def not_ready(self) -> list[str]:
        """What is missing for the service to do its work; empty: nothing."""
        reasons = [] if self._started else ["not started"]
        if not self._folder.alive:
            reasons.append("the folding thread has ended")
        if not self.collector.batcher.healthy:
            reasons.append("the collector does not commit")
        if self._watch.problem and not self._spools:
            # With a spool it still takes what comes: senders are not to be led away.
            reasons.append(self._watch.problem)
        return reasons + self._lease.missing()

    @property
    def _spools(self) -> bool:
        return Role.COLLECTOR in self.roles and self.settings.collector.spool_max_bytes > 0

    def _schedule(self) -> None:
        """Jobs by role; the hourly ones run at the start as well."""
        now = self._clock.now()
        every = partial(self._ticker.every, first_at=now)
        held = self._lease.while_held
        every(STATISTICS_S, "statistics", self._statistics)
        if self._is_shared:
            # Apart from the other jobs, which a store that hangs holds up.
            every(STORE_LOOK_S, "store", self._watch.look, executor="watch")
            every(RENEW_S, "lease", self._lease.renew, executor="watch")
        if self._alive is not None:
            every(EVERY_S, "listening", self._alive.note)
        if Role.DETECTORS in self.roles:
            # The first tick learns by itself; later, ticks go on with what was known while all is learned anew.
            judging = partial(held, Role.DETECTORS)
            every(LOOK_S, "calibrate", judging(self._calibrate), executor="calibration")
            every(TICK_S, "detect", judging(self._tick), executor="brain")
            every(TIDY_S, "tidy", judging(self._tidy))
            every(HOUR_S, "recommend", judging(self._recommend))
            every(HOUR_S, "retain", judging(self._retain))
            report = self.settings.report
            self._ticker.by_cron(report.cron, report.timezone, "report", judging(self._report))
        for polling in self._pollings:
            every(polling.every_s, f"poll-{polling.name}", polling.tick, executor="polls")
        if Role.ALERTS in self.roles:
            every(ALERT_S, "alert", held(Role.ALERTS, self._alert), executor="alerts")
        self._ticker.start()
        self._on_stop("jobs", self._ticker.stop)
        for polling in self._pollings:
            self._on_stop(f"poll-{polling.name}", polling.stop)

    def stop(self) -> bool:
        """Stop everything, the youngest first: listeners, jobs, batches, folds, store. False: something still hangs."""
        return self._endings.run()

    # Jobs --------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Judge as of the moment up to which everything received is folded: what only waits here is not late."""
        if self._alive is not None:
            # Before anything is judged: this process may have been frozen.
            self._alive.note()
        now = self._clock.now()
        due = self._pace.due(now)
        judged_at = min(now, self.collector.batcher.oldest_waiting_at() or now)
        if due and self._folder.catch_up_when_rested():
            for finding in self.brain.tick(judged_at, due):
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
            self._pace.asked(due, now)
            self._judged_at = now

    def _detecting(self) -> dict[str, Any]:
        """For how many seconds detectors have not judged, and which of them fail; nothing where they do not run."""
        if Role.DETECTORS not in self.roles:
            return {}
        idle_s = (self._clock.now() - self._judged_at) / timedelta(seconds=1)
        return {"idle_s": idle_s, "failing": dict(self._pace.failing)}

    def _calibrate(self) -> None:
        if not (self._past_came.is_set() or self.brain.has_to_learn(self._clock.now())):
            return
        self._past_came.clear()
        # What was received before is known to be folded: afterwards only what comes later is new.
        self._folder.catch_up()
        self.brain.calibrate(self._clock.now())

    def _statistics(self) -> None:
        self.store.refresh_statistics()

    def _alert(self) -> None:
        transitions = self.dispatcher.tick()
        if transitions:
            self.store.write_incidents([t.incident for t in transitions], self._clock.now())

    def _recommend(self) -> None:
        now = self._clock.now()
        found = recommend_timeouts(self.store, now - REPORT_PAST, now, self.settings.report.buffer)
        write_recommendations(self.store, found, now)

    def _report(self) -> None:
        report = write_weekly_report(self.store, self.settings, self._clock.now())
        _log.info("weekly report written", extra={"path": str(report.path)})
        lines = [*report.headlines, f"The whole report: {report.path}"]
        receivers = self.settings.report.to
        self.dispatcher.announce(receivers, report.name, "Timeout tuning report", lines)

    def _tidy(self) -> None:
        judged = self.settings.detectors
        reach_s = judged.point_finding_ttl + judged.gap_confirm + HOUR_S
        self.store.tidy(self._clock.now(), max(RECENT_MIN_S, reach_s))

    def _retain(self) -> None:
        kept = self.settings.store.retention
        now = self._clock.now()
        self.store.retain(now, Retention(kept.spans, kept.events, kept.closed, kept.statistics))
        self.state.forget_findings(now - FORGET_FINDINGS)
        self.state.forget_acknowledgements(now)
        forget_labels(self.state, now - FORGET_FINDINGS)

    # What other commands ask -------------------------------------------------------------------

    def _tell_spooled(self, waiting: dict[tuple[str, str], int]) -> None:
        write_spool_bytes(self.store.engine, waiting, self._clock.now())

    def _forget(self, fields: dict[str, Any]) -> dict[str, int]:
        self._folder.catch_up()
        execution_id = str(fields["execution_id"])
        erased = forget_everywhere(self.store, self.state, execution_id)
        self.collector.desk.forget(execution_id)
        return {"events": erased}

    def _engines(self, _fields: dict[str, Any]) -> dict[str, str]:
        """Why the last look at each polled engine failed; empty: it did not."""
        return {polling.name: polling.problem for polling in self._pollings}

    def _pull(self, fields: dict[str, Any]) -> dict[str, Any]:
        ours = "the configuration with which the serve began (restart it where that has changed)"
        looked = chosen(self._pollings, str(fields["engine"]), ours).look()
        self._folder.catch_up()
        return looked._asdict()

    def _feedback(self, fields: dict[str, Any]) -> dict[str, Any]:
        return judged(self.state, fields, "command line", self._clock.now())

    def _budget(self) -> list[dict[str, Any]]:
        return budget_rows(self.state, self.settings.detectors, self._clock.now())

    def _detect(self, fields: dict[str, Any], go_on: GoOn) -> list[dict[str, Any]]:
        self._folder.catch_up()
        now = self._clock.now()
        at = parse_time(str(fields["at"]), now)
        only = fields.get("only")
        if only is not None and not isinstance(only, list):
            raise InputError("only: must be a list of detector ids")
        found = replaying.detect_at(
            self.store,
            at,
            self.settings.detectors,
            only,
            now=now,
            retention_s=self.settings.store.retention.events,
            go_on=go_on,
        )
        return [finding_to_json(finding) for finding in found]

    def _replay(self, fields: dict[str, Any], go_on: GoOn) -> dict[str, Any]:
        self._folder.catch_up()
        now = self._clock.now()
        return replayed(self.store, self.settings, now, fields, lambda _share: go_on())

    def _catch_up(self, fields: dict[str, Any]) -> dict[str, bool]:
        self._folder.catch_up()
        self._statistics()
        if fields.get("learn"):
            self._past_came.set()
        return {"folded": True}


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
