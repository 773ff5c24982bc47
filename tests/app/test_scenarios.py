"""What a run of a scenario tells. The files under scenarios/ are held by tests/scenarios."""

from pathlib import Path

import pytest

from stallwatch.app.replaying import run_scenario
from stallwatch.errors import ConfigError
from stallwatch.simulator.scenario import load_scenario
from stallwatch.store import Store
from tests.scenarios.files import PARTS, SCENARIOS


def test_every_file_belongs_to_a_part() -> None:
    parts = list((Path(__file__).parents[1] / "scenarios").glob("test_*_part.py"))
    assert len(parts) == PARTS
    assert len(SCENARIOS) > 40


def write(folder: Path, text: str) -> Path:
    path = folder / "one.yaml"
    path.write_text(text, encoding="utf-8")
    return path


HANG = """
events:
  - {at: 0s, event: workflow.started, workflow: order, execution_id: o-1}
  - {at: 1s, event: step.started, workflow: order, execution_id: o-1, step: charge, timeout_s: 60}
"""


def test_what_is_not_as_expected_is_a_problem(store: Store, tmp_path: Path) -> None:
    text = HANG + "expect: [{at: 2m, findings: []}, {at: 3m, absent: [{detector: event_gap}]}]"
    result = run_scenario(store, load_scenario(write(tmp_path, text)))
    assert not result.passed
    (problem,) = result.problems
    assert "stalled_step" in problem
    assert [[one.detector for one in at] for at in result.firing] == [["stalled_step"]] * 2


def test_what_is_received_at_the_time_of_an_expectation_is_seen(
    store: Store, tmp_path: Path
) -> None:
    end = "  - {at: 2m, event: step.completed, workflow: order, execution_id: o-1, step: charge}\n"
    expect = "expect: [{at: 119s, findings: [{detector: stalled_step}]}, {at: 2m, findings: []}]"
    result = run_scenario(store, load_scenario(write(tmp_path, HANG + end + expect)))
    assert result.problems == []


def test_a_wrong_policy_is_named(store: Store, tmp_path: Path) -> None:
    text = HANG + "expect: [{at: 2m, findings: []}]\npolicy: {gap_confirmed: 3s}"
    scenario = load_scenario(write(tmp_path, text))
    with pytest.raises(ConfigError, match=r"one\.yaml:\d+: policy: gap_confirmed"):
        run_scenario(store, scenario)
