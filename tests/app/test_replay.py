"""`replay`: stored history judged again, and what became of what was called."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from stallwatch.app.replay.playing import parse_expectations, tick_length
from stallwatch.app.replay.scoring import replayed
from stallwatch.config import Settings
from stallwatch.errors import InputError
from stallwatch.simulator.scenario import START, load_scenario
from stallwatch.store import Store

STORY = """
history: [{workflow: order, step: charge, n: 400, every: 10s, duration: {lognormal: {median: 2s, sigma: 0.4}}}]
events:
  - {history: {workflow: order}, from: 0s, until: 20m, executions: "bg-{i}"}
  - {at: 2m, event: workflow.started, workflow: order, execution_id: hung}
  - {at: 2m, event: step.started, workflow: order, execution_id: hung, step: charge}
  - {at: 4m, event: workflow.started, workflow: order, execution_id: slow}
  - {at: 4m, event: step.started, workflow: order, execution_id: slow, step: charge}
  - {at: 14m, event: step.completed, workflow: order, execution_id: slow, step: charge}
  - {at: 14m, event: workflow.completed, workflow: order, execution_id: slow}
expect: [{at: 20m, contains: [{detector: stalled_step}]}]
"""
NOW = START + timedelta(minutes=30)


@pytest.fixture
def told(store: Store, tmp_path: Path) -> Store:
    """A store that received an hour and a half of orders, one of which hangs and one of which is slow."""
    path = tmp_path / "story.yaml"
    path.write_text(STORY, encoding="utf-8")
    story = load_scenario(path)
    for events in (story.past, [one.event for one in story.deliveries]):
        store.insert_events(events, [event.time for event in events], "shop")
    store.fold(NOW)
    return store


def asked(**more: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "since": START.isoformat(), "until": (START + timedelta(minutes=20)).isoformat(),
        "every_s": 60.0, "only": ["stalled_step"], "expect": None,
    }  # fmt: skip
    return {**usual, **more}


def expected(text: str) -> dict[str, str]:
    return {"file": "expected.yaml", "text": text}


def test_the_scorecard_says_what_became_of_each_call(told: Store) -> None:
    expect = expected(
        "expect:\n"
        "  - {at: 1m, findings: []}\n"
        "  - {at: 10m, findings: [{detector: stalled_step, executions: [hung, slow]}]}\n"
        "  - {at: 20m, contains: [{detector: stalled_step, executions: [slow]}]}\n"
    )
    done: list[float] = []
    answer = replayed(told, Settings(), NOW, asked(expect=expect), done.append)
    [problem] = answer["problems"]
    assert "at 20m" in problem
    assert "should be firing and is not" in problem
    assert (done == sorted(done), done[-1]) == (True, 1.0)
    [card] = answer["scorecard"]
    # The slow one teaches patience: what still hangs is found again when it has outlived that too.
    assert (card["detector"], card["findings"], card["executions"]) == ("stalled_step", 2, 2)
    first, again = card["found"]
    assert [one["execution_id"] for one in again["executions"]] == ["hung"]
    verdicts = {one["execution_id"]: one for one in first["executions"]}
    assert {name: one["verdict"] for name, one in verdicts.items()} == {
        "hung": "true", "slow": "false_alarm",
    }  # fmt: skip
    # A finding that was right about one of its executions was no false alarm.
    assert (card["true"], card["false_alarms"], card["unknown"]) == (2, 0, 0)
    # Afterwards it is known that even a healthy one may take ten minutes.
    assert 2 <= verdicts["hung"]["age_s"] < 180
    assert verdicts["hung"]["best_s"] == 600
    assert card["coverage"] == 1.0
    assert card["missed"] == 0


def test_what_nobody_called_is_counted(told: Store) -> None:
    """With ticks so far apart that the replay ends before the first, nothing is called."""
    [card] = replayed(told, Settings(), NOW, asked(only=["event_gap"]))["scorecard"]
    assert (card["detector"], card["findings"]) == ("event_gap", 0)
    settings = Settings.model_validate(
        {"detectors": {"policy": [{"workflow": "order", "enabled": False}]}}
    )
    [card] = replayed(told, settings, NOW, asked())["scorecard"]
    assert (card["findings"], card["missed"]) == (0, 1)


def test_nothing_is_left_behind(told: Store) -> None:
    replayed(told, Settings(), NOW, asked(every_s=600.0))
    assert told.select("SELECT count() AS n FROM finding_log") == [{"n": 0}]
    left = told.select("SELECT name FROM system.databases WHERE name LIKE '%replay%'")
    assert left == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"until": START.isoformat()}, "nothing to replay"),
        ({"until": (NOW + timedelta(hours=1)).isoformat()}, "nothing to replay"),
        ({"since": (NOW - timedelta(days=31)).isoformat()}, "beyond what is kept"),
    ],
)
def test_a_time_that_cannot_be_replayed_is_refused(
    store: Store, wrong: dict[str, object], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        replayed(store, Settings(), NOW, asked(**wrong))


def test_ticks_are_few_unless_asked(now: datetime) -> None:
    assert tick_length(now, now + timedelta(hours=1), None) == timedelta(seconds=12)
    assert tick_length(now, now + timedelta(minutes=1), None) == timedelta(seconds=5)
    assert tick_length(now, now + timedelta(hours=1), 1.0) == timedelta(seconds=1)
    with pytest.raises(InputError, match=r"30[.]2s or more"):
        tick_length(now, now + timedelta(days=7), 1.0)


def test_a_wrong_expectation_is_named(store: Store) -> None:
    late = expected("expect: [{at: 21m, findings: []}]")
    with pytest.raises(InputError, match=r"line 1: .* is not replayed"):
        replayed(store, Settings(), NOW, asked(expect=late))
    with pytest.raises(InputError, match=r"expected\.yaml:1: .*detector"):
        parse_expectations(
            "expect: [{at: 1m, findings: [{detector: none}]}]", "expected.yaml", START
        )


def test_no_file_is_read_for_who_asks(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "expected.yaml"
    path.write_text("expect: []", encoding="utf-8")
    with pytest.raises(InputError, match="an object with file and text"):
        replayed(store, Settings(), NOW, asked(expect=str(path)))
