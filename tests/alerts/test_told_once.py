"""Whatever the findings do and wherever the process dies: told once per change, closed once."""

import sqlite3
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from alerts.dispatcher import Dispatcher
from alerts.grouping import Kind
from alerts.ledger import Address
from alerts.message import Message
from stallwatch.clock import ManualClock
from stallwatch.config.alerts import AlertsConfig
from stallwatch.errors import Transient
from stallwatch.model.causes import EVIDENCE, Cause
from stallwatch.model.findings import Severity, Status
from stallwatch.store.state import State
from tests.alerts.helpers import NOW, finding

ADDRESS = Address("console", "console/0")
NAMES = ("f1", "f2", "g1")

# What happens between two ticks, and how the next tick goes.
CHANGES = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(Status),
    st.sampled_from([Severity.WARNING, Severity.CRITICAL]),
    st.integers(1, 40),
    st.sampled_from([None, "stripe", "paypal"]),
)
TICKS = st.sampled_from(["whole", "dies_before_sending", "dies_after_sending", "target_away"])
STORY = st.lists(st.tuples(st.lists(CHANGES, max_size=3), TICKS, st.integers(0, 400)), max_size=25)


class World:
    """The target outlives the process, which can die just after the target took a message."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = ManualClock(NOW)
        self.numbers: Counter[str] = Counter()
        self.received: list[Message] = []
        self.away = False
        self.dies_after_sending = False
        self.repeats_allowed = 0
        self.interrupted = False
        self.state = State(path)
        self.dispatcher = self.build()

    def build(self) -> Dispatcher:
        return Dispatcher(
            self.state,
            AlertsConfig(),
            self.clock,
            CollectorRegistry(),
            targets={ADDRESS: self},
        )

    def send(self, message: Message) -> None:
        if self.away:
            raise Transient("away")
        self.received.append(message)
        if self.dies_after_sending:
            self.repeats_allowed += 1
            self.state.close()

    def restart(self) -> None:
        self.dispatcher.close()
        self.state.close()
        self.state = State(self.path)
        self.dispatcher = self.build()

    def change(
        self,
        name: str,
        status: Status,
        severity: Severity,
        count: int,
        downstream: str | None = None,
    ) -> None:
        self.numbers[name] += 1
        changed = finding(
            name,
            status=status,
            severity=severity,
            count=count,
            step="charge" if name.startswith("f") else "ship",
            number=self.numbers[name],
        )
        if downstream is not None:
            cause = Cause(dimension="downstream", value=downstream)
            changed = replace(changed, evidence={EVIDENCE: cause.as_evidence()})
        self.state.save_findings([changed])

    def tick(self, how: str) -> None:
        self.interrupted |= how != "whole"
        self.away = how == "target_away"
        self.dies_after_sending = how == "dies_after_sending"
        if how == "dies_before_sending":
            self.dispatcher.plan()
            self.restart()
        elif how == "dies_after_sending":
            with suppress(sqlite3.ProgrammingError):
                self.dispatcher.tick()
            self.restart()
        else:
            self.dispatcher.tick()
        self.away = self.dies_after_sending = False


@settings(max_examples=60, deadline=None)
@given(STORY)
def test_told_once_per_change_and_closed_once(
    story: list[tuple[list[tuple[str, Status, Severity, int, str | None]], str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "state.db")
        for changes, how, pause_s in story:
            for change in changes:
                world.change(*change)
            world.tick(how)
            world.clock.advance(pause_s)
        for name in NAMES:
            world.change(name, Status.RESOLVED, Severity.WARNING, 1)
        # Enough ticks for the longest backoff, one message at a time.
        for _ in range(8):
            world.dispatcher.tick()
            world.clock.advance(700)
        judge(world)
        world.dispatcher.close()
        world.state.close()


def judge(world: World) -> None:
    with world.state.transaction() as db:
        rows = db.execute("SELECT * FROM incidents").fetchall()
        ledger = {
            row["incident_id"]: row for row in db.execute("SELECT * FROM deliveries").fetchall()
        }
    told = Counter((one.dedup_key, one.number) for one in world.received)
    # Nothing is repeated, but for what the target took in the moment of a death.
    assert sum(count - 1 for count in told.values()) <= world.repeats_allowed
    assert {row["id"] for row in rows} == {key for key, _ in told}
    for row in rows:
        mine = [one for one in world.received if one.dedup_key == row["id"]]
        assert row["closed_at"] is not None
        assert ledger[row["id"]]["message"] is None
        # Its end is one telling, and the last one.
        ends = {one.number for one in mine if one.status == "resolved"}
        assert ends == {mine[-1].number} == {ledger[row["id"]]["number"]}
        # Tellings come in order, and each but the first has its reason.
        numbers = [one.number for one in mine]
        if not world.interrupted:
            assert numbers == list(range(1, len(mine) + 1))
        assert numbers == sorted(numbers)
        firing = {one.number: one.why for one in mine if one.status == "firing"}
        assert all(bool(why) == (number > 1) for number, why in firing.items())


def test_without_deaths_the_target_hears_exactly_the_transitions() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "state.db")
        kinds = []
        for status in (Status.FIRING, Status.UNKNOWN, Status.RESOLVED, Status.FIRING):
            world.change("f1", status, Severity.WARNING, 1)
            kinds += [one.kind for one in world.dispatcher.tick()]
        assert kinds == [Kind.OPENED, Kind.CHANGED, Kind.CLOSED, Kind.OPENED]
        assert [one.status for one in world.received] == ["firing", "resolved", "firing"]
        assert len({one.dedup_key for one in world.received}) == 2
        world.dispatcher.close()
        world.state.close()
