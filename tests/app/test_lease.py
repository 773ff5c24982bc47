"""One brain on a store that is shared: who has the lease, who is kept out, and who has it next."""

import os
import socket
from datetime import datetime
from pathlib import Path

import pytest

from stallwatch.app.claim import Claim
from stallwatch.app.doctor import leases
from stallwatch.app.lease import RENEW_S, Lease
from stallwatch.app.roles import Role
from stallwatch.clock import ManualClock
from stallwatch.config import Settings
from stallwatch.config.settings import StoreConfig
from stallwatch.errors import StoreUnavailable, UsageError
from stallwatch.store import Store, leasing
from stallwatch.store.engine import Engine
from stallwatch.store.leasing import HELD_S, Holder, holder_of
from stallwatch.store.state import State

BRAIN = (Role.DETECTORS, Role.ALERTS)


class Process:
    """What of a process the lease knows: its roles, and the state that stays when it ends."""

    def __init__(
        self,
        store: Store,
        now: datetime,
        roles: tuple[Role, ...] = BRAIN,
        state: State | None = None,
    ) -> None:
        self.clock = ManualClock(now)
        self.state = state or State(None)
        self.lease = Lease(store.engine, self.state, self.clock, roles)

    def works(self, role: Role = Role.DETECTORS) -> bool:
        """Whether it does the role's work now."""
        done: list[Role] = []
        self.lease.while_held(role, lambda: done.append(role))()
        return bool(done)


def said(store: Store, holder: str, seconds_ago: float, since_s: float) -> None:
    """Have another process have said so long ago that it has the detectors."""
    store.engine.command(
        "INSERT INTO lease SELECT 'detectors', {holder:String}, {holder:String}, 7,"
        " now64(6) - toIntervalMillisecond({since:Int64}), now64(6) - toIntervalMillisecond({ago:Int64}), false",
        {"holder": holder, "since": int(1000 * since_s), "ago": int(1000 * seconds_ago)},
    )


def test_a_second_one_is_kept_out_and_told_who_has_it(store: Store, now: datetime) -> None:
    first, second = Process(store, now), Process(store, now)
    first.lease.take()
    with pytest.raises(
        UsageError, match=rf"detectors run on this store already: at {socket.gethostname()} \(pid"
    ):
        second.lease.take()
    first.lease.renew()
    assert first.works()
    first.lease.give_back()
    second.lease.take()
    assert second.works()
    assert second.works(Role.ALERTS)


def test_each_role_has_one_process(store: Store, now: datetime) -> None:
    judging, alerting = Process(store, now, (Role.DETECTORS,)), Process(store, now, (Role.ALERTS,))
    judging.lease.take()
    alerting.lease.take()
    both = Process(store, now)
    with pytest.raises(UsageError):
        both.lease.take()
    judging.lease.give_back()
    with pytest.raises(UsageError, match="alerts run on this store already"):
        both.lease.take()
    # What the refused one could have had is free.
    Process(store, now, (Role.DETECTORS,)).lease.take()


def test_of_two_that_begin_at_once_one_goes_on(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Process(store, now), Process(store, now)
    renew = leasing.renew
    met: list[str] = []

    def meeting(engine: Engine, role: str, wanting: Holder) -> Holder:
        """The second one begins between the first one's roles, and is slow to give back what it had."""
        found = renew(engine, role, wanting)
        if not met:
            met.append(role)
            monkeypatch.setattr(second.lease, "give_back", lambda: None)
            with pytest.raises(UsageError):
                second.lease.take()
        return found

    monkeypatch.setattr(leasing, "renew", meeting)
    first.lease.take()
    assert first.works()
    assert first.works(Role.ALERTS)


def test_who_is_started_again_has_it_at_once(store: Store, now: datetime) -> None:
    killed = Process(store, now)
    killed.lease.take()
    again = Process(store, now, state=killed.state)
    again.lease.take()
    assert again.works()


def test_a_copied_state_elsewhere_is_somebody_else(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Process(store, now)
    first.lease.take()
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(UsageError):
        Process(store, now, state=first.state).lease.take()


def test_a_lease_ends_when_it_is_not_renewed(store: Store, now: datetime) -> None:
    said(store, "killed", HELD_S - 15, since_s=1000)
    with pytest.raises(UsageError, match="at killed"):
        Process(store, now).lease.take()
    store.engine.command("TRUNCATE TABLE lease")
    said(store, "killed", HELD_S + 1, since_s=1000)
    Process(store, now).lease.take()


def test_of_two_that_began_at_once_the_later_one_pauses(store: Store, now: datetime) -> None:
    process = Process(store, now)
    process.lease.take()
    said(store, "earlier", 0, since_s=1000)
    assert process.works()
    process.lease.renew()
    assert not process.works()
    assert process.works(Role.ALERTS)
    assert process.lease.missing() == ["detectors run at earlier (pid 7)"]
    leasing.give_back(store.engine, Role.DETECTORS, "earlier")
    process.lease.renew()
    assert process.works()
    assert process.lease.missing() == []


def test_who_was_frozen_finds_out_before_it_works_again(store: Store, now: datetime) -> None:
    process = Process(store, now)
    process.lease.take()
    mine = holder_of(store.engine, Role.DETECTORS)
    assert mine is not None
    store.engine.command("TRUNCATE TABLE lease")
    said(store, mine.id, HELD_S + 20, since_s=1000)
    said(store, "next", 5, since_s=10)
    process.clock.advance(HELD_S + 20)
    assert not process.works()


def test_while_the_store_is_away_the_holder_goes_on(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Process(store, now)
    process.lease.take()

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(leasing, "renew", away)
    process.clock.advance(10 * RENEW_S)
    with pytest.raises(StoreUnavailable):
        process.lease.renew()
    assert process.works()


def test_the_doctor_says_that_the_serve_here_pauses(
    store: Store, now: datetime, tmp_path: Path
) -> None:
    settings = Settings(store=StoreConfig(state=tmp_path))
    process = Process(store, now)
    process.lease.take()
    claim = Claim.take_role(tmp_path, Role.DETECTORS)
    claim.announce("http://127.0.0.1:1", "")
    assert [result.ok for result in leases(store, settings)] == [True, True]
    process.lease.give_back()
    said(store, "elsewhere", 0, since_s=1)
    judging, alerting = leases(store, settings)
    assert not judging.ok
    assert judging.detail.startswith("elsewhere (pid 7), ")
    assert judging.detail.endswith(f"the serve here (pid {os.getpid()}) pauses")
    assert alerting.detail == "nobody runs alerts on this store"
    claim.release()
