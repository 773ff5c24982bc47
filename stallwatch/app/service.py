"""The service: the rooms put together, started in order and stopped in the opposite one."""

import logging
import sys
from importlib.metadata import version
from typing import Final, TextIO

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
from stallwatch.app.access import (
    data_folder,
    declare_configured,
    new_store,
    open_state,
    shelf_folder,
    spool_folder,
    state_folder,
)
from stallwatch.app.alive import Alive
from stallwatch.app.answers import Answers
from stallwatch.app.caught_up import CaughtUp
from stallwatch.app.claim import Claim
from stallwatch.app.connections import ended_counter
from stallwatch.app.feedback import BudgetMetrics
from stallwatch.app.folder import Folder
from stallwatch.app.guard import Guard, refused_counter
from stallwatch.app.jobs import Jobs
from stallwatch.app.late_store import LateStore
from stallwatch.app.lease import Lease
from stallwatch.app.listening import HttpServer, allow_open_files, bind
from stallwatch.app.parts import Parts
from stallwatch.app.roles import Role
from stallwatch.app.stopping import Endings
from stallwatch.app.ticker import cron_trigger
from stallwatch.app.tls import tls_of
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.config.settings import is_loopback
from stallwatch.config.tokens import TokenFile, new_token
from stallwatch.errors import StoreRefused, StoreUnavailable
from stallwatch.model.events import EARLIEST
from stallwatch.store.sender_state import write_spool_bytes
from stallwatch.store.watch import StoreWatch
from stallwatch.telemetry import setup

ALL_ROLES: Final = frozenset(Role)
COLLECTOR_END_S: Final = 15.0
"""What it still holds is put on disk: that is waited for."""
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
        Gauge("stallwatch_build_info", "Version", ["version"], registry=self.registry).labels(
            version("stallwatch")
        ).set(1)
        self.store = new_store(settings)
        self._on_stop("store", self.store.close)
        inserting = LateStore(self.store, clock)
        self._migrate(inserting)
        self._watch = StoreWatch(self.store.engine)
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
            lambda waiting: write_spool_bytes(self.store.engine, waiting, clock.now()),
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
        parts = Parts(
            settings, self.roles, clock, self.store, self._is_shared, self.state, self._folder,
            self._pace, self.brain, self.dispatcher, self.collector, self._lease, self._watch,
            self._alive, self._pollings,
        )  # fmt: skip
        self._jobs = Jobs(parts, meter, self._telemetry.tracer("stallwatch.app"))
        self._answers = Answers(parts, self._jobs)
        self._started = False

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
        self._jobs.start()
        self._on_stop("jobs", self._jobs.stop)
        for polling in self._pollings:
            self._on_stop(f"poll-{polling.name}", polling.stop)
        # The youngest: no listener is to wait for an answer that takes minutes.
        self._on_stop("long work", self._answers.stop)
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
            budget=self._answers.budget, guarded=guarded,
        )  # fmt: skip
        web = Starlette(routes=[Mount("/control", self._answers.app())])
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

    def stop(self) -> bool:
        """Stop everything, the youngest first: listeners, jobs, batches, folds, store. False: something still hangs."""
        return self._endings.run()


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
