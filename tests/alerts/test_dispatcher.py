import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from alerts import ledger
from alerts.dispatcher import Dispatcher, Limits, backoff_s
from alerts.grouping import Kind
from alerts.ledger import Address
from alerts.message import Message
from alerts.targets.base import Target
from stallwatch.clock import ManualClock
from stallwatch.config.alerts import AlertsConfig
from stallwatch.errors import Permanent, Transient
from stallwatch.model.findings import Finding, Severity, Status
from stallwatch.store.state import State
from tests.alerts.helpers import NOW, Answer, StandIn, finding, stand_in

CHAT = Address("chat", "webhook/0")
PAGER = Address("pager", "webhook/0")


class Recorder:
    """A target that keeps what it was told, and fails as scripted first."""

    def __init__(self, *errors: Exception) -> None:
        self.messages: list[Message] = []
        self.errors = list(errors)
        self.calls = 0

    def send(self, message: Message) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.messages.append(message)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one.status, one.why) for one in self.messages]


def config(**more: Any) -> AlertsConfig:
    hook = [{"url": "https://example.com"}]
    data: dict[str, Any] = {
        "receivers": [
            {"name": "chat", "webhook_configs": hook},
            {"name": "pager", "webhook_configs": hook},
        ],
        "route": [
            {"receiver": "chat", "continue": True, "repeat_interval": "1h"},
            {"receiver": "pager", "matchers": ["severity=critical"]},
        ],
    }
    return AlertsConfig.model_validate(data | more)


class World:
    """One state file, one clock, and a dispatcher that can die and come back."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.clock = ManualClock(NOW)
        self.state = State(path)
        self.registry = CollectorRegistry()
        self.config = config()
        self.chat = Recorder()
        self.pager = Recorder()
        self.limits = Limits(attempts_max=4)
        self.targets: dict[Address, Target] = {CHAT: self.chat, PAGER: self.pager}
        self.dispatcher = self.build()

    def build(self) -> Dispatcher:
        return Dispatcher(
            self.state,
            self.config,
            self.clock,
            self.registry,
            limits=self.limits,
            targets=self.targets,
        )

    def rebuild(self) -> None:
        self.dispatcher.close()
        self.registry = CollectorRegistry()
        self.dispatcher = self.build()

    def restart(self) -> None:
        self.dispatcher.close()
        self.state.close()
        self.state = State(self.path)
        self.registry = CollectorRegistry()
        self.dispatcher = self.build()

    def see(self, one: Finding) -> None:
        """Judged again, just now."""
        self.state.save_findings([replace(one, last_seen=self.clock.now())])

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path / "state.db")
    yield one
    one.dispatcher.close()
    one.state.close()


def test_an_incident_is_told_once_and_its_end_once(world: World) -> None:
    world.state.save_findings([finding()])
    (transition,) = world.dispatcher.tick()
    assert transition.kind is Kind.OPENED
    for _ in range(3):
        world.clock.advance(60)
        world.dispatcher.tick()
    assert world.chat.told == [("firing", "")]
    world.state.save_findings([finding(status=Status.RESOLVED, number=2)])
    (transition,) = world.dispatcher.tick()
    assert transition.kind is Kind.CLOSED
    assert world.dispatcher.tick() == []
    assert world.chat.told == [("firing", ""), ("resolved", "")]
    assert {one.dedup_key for one in world.chat.messages} == {transition.incident.id}
    assert world.pager.calls == 0


def test_a_higher_severity_is_told_at_once_and_reaches_the_pager(world: World) -> None:
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(severity=Severity.CRITICAL)])
    world.dispatcher.tick()
    assert world.chat.told[1:] == [("firing", "The severity rose.")]
    assert world.pager.told == [("firing", "")]
    # It eases and the pager's route matches no more; its end must be told there all the same.
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.tick()
    assert world.pager.told == [("firing", ""), ("resolved", "")]


def test_growth_joins_and_reminders_keep_their_pace(world: World) -> None:
    world.state.save_findings([finding(count=10)])
    world.dispatcher.tick()
    world.state.save_findings([finding(count=20)])
    world.clock.advance(299)
    world.dispatcher.tick()
    assert len(world.chat.messages) == 1
    world.clock.advance(1)
    world.dispatcher.tick()
    world.clock.advance(300)
    world.state.save_findings([finding("f2")])
    world.dispatcher.tick()
    world.clock.advance(3600)
    world.dispatcher.tick()
    assert len(world.chat.messages) == 3, "nobody has looked for an hour"
    world.see(finding("f2"))
    world.dispatcher.tick()
    assert [why for _, why in world.chat.told] == [
        "",
        "The number of executions at least doubled.",
        "More findings joined.",
        "It goes on; this is a reminder.",
    ]
    assert [one.number for one in world.chat.messages] == [1, 2, 3, 4]


def test_unknown_and_acknowledged_are_quiet(world: World) -> None:
    world.state.save_findings([finding(), finding("g1", step="ship")])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.UNKNOWN)])
    world.state.acknowledge("g1", until=NOW + timedelta(days=2), by="ada", at=NOW)
    world.clock.advance(86400)
    world.dispatcher.tick()
    assert len(world.chat.messages) == 2
    world.clock.advance(86400)
    world.see(finding("g1", step="ship"))
    world.dispatcher.tick()
    assert world.chat.told[2:] == [("firing", "It goes on; this is a reminder.")]


def test_a_crash_between_commit_and_send_loses_nothing(world: World) -> None:
    world.state.save_findings([finding()])
    world.dispatcher.plan()
    assert world.chat.messages == []
    world.restart()
    world.dispatcher.tick()
    assert world.chat.told == [("firing", "")]


def test_a_crash_in_the_middle_of_planning_loses_not_even_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.RESOLVED)])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "commit", dies)
        with pytest.raises(KeyboardInterrupt):
            world.dispatcher.tick()
    world.restart()
    world.dispatcher.tick()
    assert world.chat.told == [("firing", ""), ("resolved", "")]


def test_a_restart_in_the_middle_repeats_nothing(world: World) -> None:
    world.state.save_findings([finding()])
    (opened,) = world.dispatcher.tick()
    world.restart()
    world.clock.advance(60)
    (kept,) = world.dispatcher.tick()
    assert (kept.kind, kept.incident.id) == (Kind.KEPT, opened.incident.id)
    assert len(world.chat.messages) == 1
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.plan()
    world.restart()
    world.dispatcher.tick()
    assert world.chat.told == [("firing", ""), ("resolved", "")]


def test_a_failing_target_is_retried_with_backoff_then_given_up(world: World) -> None:
    world.limits = Limits(attempts_max=4, backoff_s=5, backoff_max_s=12)
    world.chat.errors = [Transient("away") for _ in range(4)]
    world.rebuild()
    world.state.save_findings([finding()])
    calls = []
    for _ in range(60):
        world.dispatcher.tick()
        calls.append(world.chat.calls)
        world.clock.advance(1)
    # At 0 s, then 5, 10 and (capped) 12 s after the failure before.
    assert [calls.index(number) for number in (1, 2, 3, 4)] == [0, 5, 15, 27]
    assert world.chat.calls == 4
    assert world.value("alerts_failed_total", target="chat/webhook/0") == 1
    assert world.value("alerts_sent_total", target="chat/webhook/0", outcome="transient") == 4
    assert world.value("alerts_pending", target="chat/webhook/0") == 0


def test_it_waits_as_long_as_the_other_side_asks_for_all_messages(world: World) -> None:
    world.chat.errors = [Transient("slow down", retry_after_s=100)]
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding("g1", step="ship")])
    world.clock.advance(99)
    world.dispatcher.tick()
    assert world.chat.calls == 1
    assert world.value("alerts_pending", target="chat/webhook/0") == 2
    world.clock.advance(1)
    world.dispatcher.tick()
    assert len(world.chat.messages) == 2
    assert world.value("alerts_pending", target="chat/webhook/0") == 0


def test_a_refusal_is_given_up_at_once_and_the_end_is_tried_again(world: World) -> None:
    world.chat.errors = [Permanent("no such channel")]
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.clock.advance(60)
    world.dispatcher.tick()
    assert world.chat.calls == 1
    assert world.value("alerts_sent_total", target="chat/webhook/0", outcome="permanent") == 1
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.tick()
    assert world.chat.told == [("resolved", "")]


def test_what_ended_while_the_target_was_away_is_told_in_one_message(world: World) -> None:
    world.chat.errors = [Transient("away")]
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.tick()
    world.clock.advance(60)
    world.dispatcher.tick()
    assert world.chat.told == [("resolved", "")]


def test_a_target_with_a_defect_harms_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.pager.errors = [ZeroDivisionError()]
    world.state.save_findings([finding(severity=Severity.CRITICAL)])
    world.dispatcher.tick()
    assert len(world.chat.messages) == 1
    assert "pager/webhook/0 broke" in caplog.text
    assert world.value("alerts_sent_total", target="pager/webhook/0", outcome="broken") == 1
    world.clock.advance(5)
    world.dispatcher.tick()
    assert len(world.pager.messages) == 1


class Hanging(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.release = threading.Event()

    def send(self, message: Message) -> None:
        self.entered.set()
        self.release.wait()
        super().send(message)


def test_a_target_that_hangs_keeps_no_other_waiting(world: World) -> None:
    slow = Hanging()
    world.targets[PAGER] = slow
    world.limits = Limits(wait_s=0.05)
    world.rebuild()
    world.state.save_findings([finding(severity=Severity.CRITICAL)])
    world.dispatcher.tick()
    slow.entered.wait()
    world.state.save_findings([finding("g1", step="ship")])
    while len(world.chat.messages) < 2:
        world.dispatcher.tick()
    assert slow.messages == []
    slow.release.set()
    while world.value("alerts_pending", target="pager/webhook/0"):
        world.dispatcher.tick()
    assert slow.told == [("firing", "")]


def test_the_end_is_not_told_where_it_is_not_wanted(world: World) -> None:
    hook = [{"url": "https://example.com", "send_resolved": False}]
    world.config = config(receivers=[{"name": "chat", "webhook_configs": hook}], route=[])
    world.rebuild()
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.tick()
    assert world.chat.told == [("firing", "")]
    assert world.value("alerts_decisions_total", reason="send_resolved_off") == 1


def test_what_waits_for_a_target_that_is_gone_is_given_up(world: World) -> None:
    world.state.save_findings([finding()])
    world.dispatcher.plan()
    del world.targets[CHAT]
    world.rebuild()
    world.dispatcher.deliver()
    assert world.value("alerts_failed_total", target="chat/webhook/0") == 1
    assert world.value("alerts_pending", target="chat/webhook/0") == 0


def test_the_count_of_a_target_that_is_gone_ends_when_it_is_given_up(world: World) -> None:
    world.chat.errors = [Transient("away")]
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    del world.targets[CHAT]
    world.rebuild()
    world.dispatcher.deliver()
    assert world.value("alerts_pending", target="chat/webhook/0") == 1
    world.clock.advance(5)
    world.dispatcher.deliver()
    assert world.value("alerts_pending", target="chat/webhook/0") == 0


def test_the_end_does_not_wait_for_a_target_that_hangs(world: World) -> None:
    slow = Hanging()
    world.targets[CHAT] = slow
    world.limits = Limits(wait_s=0.05)
    world.rebuild()
    world.state.save_findings([finding(), finding("g1", step="ship")])
    world.dispatcher.tick()
    slow.entered.wait()
    (telling,) = (one for one in threading.enumerate() if one.name == "chat/webhook/0")
    closing = threading.Thread(target=world.dispatcher.close)
    closing.start()
    closing.join(5)
    ended = not closing.is_alive()
    slow.release.set()
    closing.join()
    telling.join()
    assert ended
    # Nor does the process wait for it.
    assert telling.daemon
    # What was to follow is left to the next start.
    assert len(slow.messages) == 1
    world.restart()
    world.dispatcher.tick()
    assert len(slow.messages) == 2


def test_what_a_defect_says_is_not_kept(world: World) -> None:
    world.chat.errors = [ValueError("illegal header: t0ken")]
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    with world.state.transaction() as db:
        (row,) = db.execute("SELECT last_error FROM deliveries").fetchall()
    assert row["last_error"] == "ValueError"


def test_closed_incidents_are_forgotten_in_time(world: World) -> None:
    world.state.save_findings([finding()])
    world.dispatcher.tick()
    world.state.save_findings([finding(status=Status.RESOLVED)])
    world.dispatcher.tick()
    world.clock.advance(31 * 86400)
    world.dispatcher.tick()
    with world.state.transaction() as db:
        for table in ("incidents", "deliveries"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0


def test_ten_thousand_executions_are_one_message(world: World) -> None:
    stuck = replace(finding(), count=10_000, executions=tuple(f"o-{n}" for n in range(100)))
    world.state.save_findings([stuck])
    world.dispatcher.tick()
    (told,) = world.chat.messages
    assert "Executions: o-0, o-1, o-2, o-3, o-4 and 9995 more." in told.lines


def test_backoff_doubles_and_is_capped() -> None:
    limits = Limits()
    assert [backoff_s(n, limits) for n in (1, 2, 3, 8, 20)] == [5, 10, 20, 600, 600]


def test_without_settings_it_tells_on_the_console() -> None:
    state, stream = State(None), io.StringIO()
    state.save_findings([finding()])
    dispatcher = Dispatcher(
        state, AlertsConfig(), ManualClock(NOW), CollectorRegistry(), stream=stream
    )
    dispatcher.tick()
    assert stream.getvalue().startswith("WARNING charge of order is stalled")
    dispatcher.close()
    state.close()


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as one:
        yield one


def test_slack_over_the_wire_with_a_rate_limit_and_a_restart(
    world: World, server: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(server.url + "/services/T/B/X", encoding="utf-8")
    slack = [{"url_file": str(tmp_path / "url")}]
    settings = AlertsConfig.model_validate(
        {"receivers": [{"name": "chat", "slack_configs": slack}]}
    )
    server.script(Answer(429, "rate_limited", {"Retry-After": "30"}), Answer())

    def build() -> Dispatcher:
        return Dispatcher(world.state, settings, world.clock, CollectorRegistry())

    world.state.save_findings([finding()])
    first = build()
    first.tick()
    world.clock.advance(29)
    first.tick()
    first.close()
    assert len(server.requests) == 1
    second = build()
    second.tick()
    assert len(server.requests) == 1
    world.clock.advance(1)
    second.tick()
    second.tick()
    second.close()
    assert len(server.requests) == 2


def test_a_report_is_announced_once_to_its_receivers(tmp_path: Path) -> None:
    stream = io.StringIO()
    config = AlertsConfig.model_validate(
        {
            "receivers": [
                {"name": "team", "console_configs": [{}]},
                {"name": "others", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]},
            ]
        }
    )
    clock = ManualClock(NOW)
    for _ in range(2):
        state = State(tmp_path / "state.sqlite")
        dispatcher = Dispatcher(state, config, clock, CollectorRegistry(), stream=stream)
        dispatcher.announce(
            ["team"], "timeouts 2026-W02", "Timeout tuning report", ["2 steps: 2 ok."]
        )
        dispatcher.deliver()
        dispatcher.close()
        with state.transaction() as db:
            assert {row["receiver"] for row in db.execute("SELECT receiver FROM deliveries")} == {
                "team"
            }
        state.close()
    assert stream.getvalue().count("Timeout tuning report") == 1


def test_a_report_leads_to_stallwatch_and_opens_nothing_that_nobody_closes(world: World) -> None:
    world.config = config(external_url="https://stallwatch.example.com")
    world.rebuild()
    world.dispatcher.announce(["chat"], "timeouts 2026-W02", "Timeout tuning report", ["2 steps."])
    world.dispatcher.deliver()
    (told,) = world.chat.messages
    assert [link.url for link in told.links] == ["https://stallwatch.example.com"]
    assert told.endless
