"""When the detectors are asked in a scenario."""

from pathlib import Path

import pytest

from stallwatch.app.replaying import run_scenario
from stallwatch.app.scenario_ticks import ticks_of
from stallwatch.simulator.scenario import Scenario, load_scenario
from stallwatch.store import Store

HISTORY = """
history:
  - {workflow: order, step: charge, n: 300, every: 10s, duration: {uniform: {low: 1s, high: 9s}}}
"""
TOLD = """
events:
  - {history: {workflow: order}, from: 0s, until: 10m}
  - {at: 0s, event: step.started, workflow: order, execution_id: o-1, step: charge}
  - {at: 90s, event: step.completed, workflow: order, execution_id: o-1, step: charge}
"""
LATE = TOLD.replace("at: 0s, event", "at: 0s, received: 60s, event").replace(
    "90s,", "90s, received: 95s,"
)
ANOTHER = "  - {at: 200s, event: step.started, workflow: order, execution_id: o-2, step: charge}\n"


def scenario(folder: Path, text: str) -> Scenario:
    path = folder / "one.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path)


def ticks_s(told: Scenario) -> list[float]:
    return [(at - told.start).total_seconds() for at in ticks_of(told)]


@pytest.mark.parametrize(
    ("events", "expect", "ticks"),
    [
        ("", "[{at: 2m, findings: []}, {at: 2m, absent: [{}]}, {at: 5s, findings: []}]", [5, 120]),
        ("", "[{at: 2h, findings: []}]", [7200]),
        # Nobody is judged by what the long call taught.
        (TOLD, "[{at: 60s, findings: []}, {at: 300s, findings: []}]", [60, 300]),
        (TOLD + ANOTHER, "[{at: 205s, findings: []}]", [205]),
        (TOLD + ANOTHER, "[{at: 80s, findings: []}]", [80]),
        (TOLD + ANOTHER, "[{at: 300s, findings: []}]", [89, 90, 300]),
        # It took no longer than others before.
        ((TOLD + ANOTHER).replace("90s", "8s"), "[{at: 300s, findings: []}]", [300]),
        # What was told of it late was open as of then.
        (LATE + ANOTHER, "[{at: 300s, findings: []}]", [94, 95, 300]),
    ],
)  # fmt: skip
def test_ticks(events: str, expect: str, ticks: list[float], tmp_path: Path) -> None:
    expect = expect.replace("{}", "{detector: event_gap}")
    history = HISTORY if events else ""
    assert ticks_s(scenario(tmp_path, f"{history}{events}expect: {expect}")) == ticks


HEARTBEATS = """
events:
  - {at: 10m, event: step.heartbeat, workflow: w, execution_id: o-1, step: s, repeat: {n: 240, every: 1h}}
"""


def test_a_story_of_days_learns_forty_times(tmp_path: Path) -> None:
    told = scenario(tmp_path, f"{HEARTBEATS}expect: [{{at: 10d, findings: []}}]")
    assert ticks_s(told) == [16 * 60, *(21_600 * number for number in range(1, 41))]


def test_where_nothing_comes_it_learns_before_it_is_asked(tmp_path: Path) -> None:
    few = HEARTBEATS.replace("n: 240", "n: 2")
    told = scenario(
        tmp_path, f"{few}expect: [{{at: 9h, findings: []}}, {{at: 20h30m, findings: []}}]"
    )
    hours = [at / 3600 for at in ticks_s(told)]
    assert hours == [16 / 60, 2, 9, 20, 20.5]


def test_without_a_past_it_learns_soon(tmp_path: Path) -> None:
    often = HEARTBEATS.replace("every: 1h", "every: 1s").replace("at: 10m", "at: 1s")
    told = scenario(tmp_path, f"{often}expect: [{{at: 30m, findings: []}}]")
    assert [at / 60 for at in ticks_s(told)] == [1, 2, 4, 30]


def test_what_completed_late_between_expectations_is_learned_from(
    store: Store, tmp_path: Path
) -> None:
    stalled = "[{detector: stalled_step, executions: [o-2]}]"
    expect = f"expect: [{{at: 300s, absent: {stalled}}}, {{at: 360s, contains: {stalled}}}]"
    result = run_scenario(store, scenario(tmp_path, HISTORY + TOLD + ANOTHER + expect))
    assert result.problems == []
    alone = HISTORY + TOLD.replace("90s", "8s") + ANOTHER + expect
    (problem,) = run_scenario(store, scenario(tmp_path, alone)).problems
    assert "at 5m" in problem
    assert "stalled_step" in problem
