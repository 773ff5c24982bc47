"""Turns findings into tellings: the alerts role's one loop body."""

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TextIO

from prometheus_client import CollectorRegistry

from alerts import grouping, incidents, ledger
from alerts.grouping import Kind, Transition
from alerts.ledger import WORDS, Address, Delivery, Digest, Reason
from alerts.message import Link, Message, build_message, readable
from alerts.meters import Meters
from alerts.routing import Router, RouteReason
from alerts.targets import TARGETS, target_configs
from alerts.targets.base import Target
from stallwatch.clock import Clock
from stallwatch.config.alerts import AlertsConfig, RouteConfig
from stallwatch.errors import Permanent, Transient
from stallwatch.model.findings import Incident, Severity, Status
from stallwatch.store.state import State

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of the delivery. The defaults give up after about two hours."""

    attempts_max: int = 20
    backoff_s: float = 5.0
    backoff_max_s: float = 600.0
    retry_after_max_s: float = 3600.0
    wait_s: float = 5.0
    """How long one tick waits for its targets, who is slower goes on in its own thread; and how long the end waits."""
    keep: timedelta = timedelta(days=30)
    """How long closed incidents and their ledger are remembered."""


class _Notes:
    """A target's memory, kept in the state."""

    def __init__(self, state: State, address: Address) -> None:
        self._state = state
        self._address = address

    def read(self, dedup_key: str) -> str | None:
        with self._state.transaction() as db:
            row = db.execute(
                "SELECT note FROM target_notes WHERE receiver = ? AND target = ? AND dedup_key = ?",
                (*self._address, dedup_key),
            ).fetchone()
        return None if row is None else str(row["note"])

    def write(self, dedup_key: str, note: str) -> None:
        with self._state.transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO target_notes VALUES (?, ?, ?, ?)",
                (*self._address, dedup_key, note),
            )


class Dispatcher:
    """One per state: reads findings, keeps incidents, tells targets.

    Builds the targets of `config` (ConfigError when a secret cannot be read), or takes those given.
    `tick` is called by one thread at a time.
    """

    def __init__(
        self,
        state: State,
        config: AlertsConfig,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        limits: Limits | None = None,
        stream: TextIO | None = None,
        targets: Mapping[Address, Target] | None = None,
    ) -> None:
        self._state = state
        self._config = config
        self._clock = clock
        self._limits = limits or Limits()
        self._router = Router(config)
        self._settings = {
            Address(receiver.name, name): target_config
            for receiver in config.receivers
            for _, name, target_config in target_configs(receiver)
        }
        self._targets = build_targets(state, config, stream) if targets is None else dict(targets)
        self._meters = Meters(registry)
        self._closing = False
        self._busy: dict[Address, Future[None]] = {}
        self._telling: dict[Address, Delivery] = {}
        self._paused_until: dict[Address, datetime] = {}
        self._counted = set(self._targets)

    def tick(self) -> list[Transition]:
        """`plan`, then `deliver`; what became of the incidents."""
        transitions = self.plan()
        self.deliver()
        return transitions

    def announce(
        self, receivers: Collection[str], key: str, title: str, lines: Sequence[str]
    ) -> None:
        """Put something that is no incident (a weekly report) into the outbox of these receivers' targets.

        The same `key` again tells a target again only if the text has changed.
        """
        now = self._clock.now()
        with self._state.transaction() as db:
            told = ledger.told_of(db, key)
            for address in self._targets:
                before = told.get(address)
                message = Message(
                    receiver=address.receiver,
                    dedup_key=key,
                    number=1 if before is None else before.number + 1,
                    status="firing",
                    severity=Severity.INFO.value,
                    title=title,
                    lines=tuple(lines),
                    why="",
                    fields={},
                    links=(Link(text="Open in Stallwatch", url=self._config.external_url),),
                    findings=(),
                    findings_left_out=0,
                    started_at=now,
                    ended_at=None,
                    endless=True,
                )
                digest = Digest(severity=Severity.INFO, count=0, fingerprints=(title, *lines))
                if address.receiver in receivers and (before is None or before.digest != digest):
                    ledger.commit(db, key, address, readable(message), digest, Reason.OPENED, now)

    def close(self) -> None:
        """Stop, and wait for the targets that are being told: for at most `wait_s`.

        Of who is slower it is not known whether they were told: the ledger sends it again after a restart.
        """
        self._closing = True
        wait(self._busy.values(), timeout=self._limits.wait_s)

    def plan(self) -> list[Transition]:
        """One transaction: findings → incidents → decisions → outbox."""
        now = self._clock.now()
        decisions: Counter[Reason] = Counter()
        with self._state.transaction() as db:
            open_incidents = incidents.load_open(db)
            acknowledged = frozenset(self._state.acknowledgements(now))
            held = {one.fingerprint for incident in open_incidents for one in incident.findings}
            findings = self._state.findings([Status.FIRING])
            findings += self._state.findings(fingerprints=held)
            transitions = grouping.regroup(open_incidents, findings, acknowledged, now)
            incidents.save(db, transitions)
            for transition in transitions:
                for absorbed in transition.absorbed:
                    ledger.inherit(db, absorbed, transition.incident.id)
            for transition in transitions:
                decisions.update(self._plan_one(db, transition.incident, acknowledged, now))
            ledger.forget_closed(db, now, self._limits.keep)
        for reason, count in decisions.items():
            self._meters.decisions.labels(reason.value).inc(count)
        still_open = sum(transition.kind is not Kind.CLOSED for transition in transitions)
        self._meters.open_incidents.set(still_open)
        return transitions

    def deliver(self) -> None:
        """Tell what is due, each target in its thread; wait for them for at most `wait_s`."""
        with self._state.transaction() as db:
            due = ledger.due(db, self._clock.now())
        begun = []
        for address, deliveries in due.items():
            target = self._targets.get(address)
            if target is None:
                self._give_up_unknown(deliveries)
            elif self._is_free(address):
                self._busy[address] = self._begin(address, target, deliveries)
                begun.append(self._busy[address])
        # Those that were slow in an earlier tick are not waited for again.
        wait(begun, timeout=self._limits.wait_s)
        self._reap()
        self._count_pending()

    def _plan_one(
        self,
        db: sqlite3.Connection,
        incident: Incident,
        acknowledged: frozenset[str],
        now: datetime,
    ) -> list[Reason]:
        """Decide for each target that the incident is routed to or was told at; why, one each."""
        told = ledger.told_of(db, incident.id)
        paces = self._paces(incident)
        reasons = []
        for address in sorted(paces.keys() | told.keys()):
            before = told.get(address)
            reason = self._decide(incident, before, address, paces.get(address), acknowledged, now)
            reasons.append(reason)
            if reason.tells:
                message = build_message(
                    incident,
                    receiver=address.receiver,
                    number=1 if before is None else before.number + 1,
                    why=WORDS[reason],
                    external_url=self._config.external_url,
                    dedup_key=None if before is None else before.dedup_key,
                )
                digest = ledger.digest_of(incident)
                ledger.commit(db, incident.id, address, message, digest, reason, now)
        return reasons

    def _decide(
        self,
        incident: Incident,
        told: ledger.Told | None,
        address: Address,
        pace: RouteConfig | None,
        acknowledged: frozenset[str],
        now: datetime,
    ) -> Reason:
        settings = self._settings.get(address)
        if incident.closed_at is None and pace is None:
            return Reason.NO_LONGER_ROUTED
        if settings is None and address not in self._targets:
            return Reason.NO_LONGER_ROUTED
        reason = ledger.decide(
            incident,
            told,
            pace or RouteConfig(receiver=address.receiver),
            acknowledged,
            now,
        )
        if reason is Reason.RESOLVED and settings is not None and not settings.send_resolved:
            return Reason.SEND_RESOLVED_OFF
        return reason

    def _paces(self, incident: Incident) -> dict[Address, RouteConfig]:
        """The targets that the routes choose now, each with its route's pace."""
        paces = {}
        for routed in self._router.receivers(incident):
            if routed.reason is RouteReason.NO_ROUTE_MATCHED and self._config.route:
                self._meters.unrouted.inc()
            for address in self._targets:
                if address.receiver == routed.receiver:
                    paces[address] = routed.pace
        return paces

    def _is_free(self, address: Address) -> bool:
        paused_until = self._paused_until.get(address)
        if paused_until is not None and paused_until > self._clock.now():
            return False
        return address not in self._busy

    def _begin(self, address: Address, target: Target, deliveries: list[Delivery]) -> Future[None]:
        """Tell in a thread of its own: one that hangs keeps no other target waiting, and not the process alive."""
        work: Future[None] = Future()

        def run() -> None:
            try:
                self._tell_all(address, target, deliveries)
            except BaseException as error:  # noqa: BLE001 - handed to `_reap`
                work.set_exception(error)
            else:
                work.set_result(None)

        threading.Thread(target=run, name="/".join(address), daemon=True).start()
        return work

    def _tell_all(self, address: Address, target: Target, deliveries: list[Delivery]) -> None:
        """In order; a target that cannot be reached is left alone until the next tick."""
        for delivery in deliveries:
            if self._closing:
                return
            self._telling[address] = delivery
            try:
                target.send(delivery.message)
            except Transient as error:
                self._meters.sent.labels("/".join(address), "transient").inc()
                self._try_later(delivery, str(error), error.retry_after_s)
                return
            except Permanent as error:
                self._meters.sent.labels("/".join(address), "permanent").inc()
                self._give_up(delivery, str(error))
            else:
                with self._state.transaction() as db:
                    ledger.mark_told(db, delivery, self._clock.now())
                    ledger.wake(db, address, self._clock.now())
                self._meters.sent.labels("/".join(address), "told").inc()

    def _try_later(self, delivery: Delivery, error: str, retry_after_s: float | None) -> None:
        attempts = delivery.attempts + 1
        if attempts >= self._limits.attempts_max:
            self._give_up(delivery, f"{error} (after {attempts} attempts)")
            return
        now = self._clock.now()
        delay_s = backoff_s(attempts, self._limits)
        if retry_after_s is not None:
            delay_s = max(delay_s, min(retry_after_s, self._limits.retry_after_max_s))
            self._paused_until[delivery.address] = now + timedelta(seconds=delay_s)
        with self._state.transaction() as db:
            ledger.mark_failed(db, delivery, error, now + timedelta(seconds=delay_s))

    def _give_up(self, delivery: Delivery, error: str) -> None:
        with self._state.transaction() as db:
            ledger.mark_given_up(db, delivery, error)
        name = "/".join(delivery.address)
        self._meters.failed.labels(name).inc()
        log.warning("%s is not told of %s: %s", name, delivery.message.dedup_key, error)

    def _give_up_unknown(self, deliveries: Iterable[Delivery]) -> None:
        for delivery in deliveries:
            self._give_up(delivery, "this target is no longer configured")

    def _reap(self) -> None:
        """Let go of the threads that are done.

        A target that raised anything but Transient or Permanent has a defect: it is logged with its
        trace and tried later like one that cannot be reached, so that it harms no other target. The ledger keeps only
        the error's name: its text may hold what was to be sent, and with it a secret.
        """
        for address, work in list(self._busy.items()):
            if not work.done():
                continue
            del self._busy[address]
            error = work.exception()
            if error is not None:
                name = "/".join(address)
                log.error("%s broke", name, exc_info=error)
                self._meters.sent.labels(name, "broken").inc()
                self._try_later(self._telling[address], type(error).__name__, None)

    def _count_pending(self) -> None:
        with self._state.transaction() as db:
            waiting = ledger.pending(db)
        # One that is no longer configured is counted down too.
        self._counted |= waiting.keys()
        for address in self._counted:
            self._meters.pending.labels("/".join(address)).set(waiting.get(address, 0))


def build_targets(
    state: State, config: AlertsConfig, stream: TextIO | None
) -> dict[Address, Target]:
    """Every target of every receiver, ready to send."""
    targets = {}
    for receiver in config.receivers:
        for kind, name, settings in target_configs(receiver):
            address = Address(receiver.name, name)
            targets[address] = TARGETS[kind](settings, _Notes(state, address), stream)
    return targets


def backoff_s(attempts: int, limits: Limits) -> float:
    """The wait after so many failures (from 1): doubling, capped."""
    return float(min(limits.backoff_s * 2.0 ** (attempts - 1), limits.backoff_max_s))
