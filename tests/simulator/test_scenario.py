import re
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from stallwatch.errors import InputError
from stallwatch.model.findings import DETECTOR_IDS
from stallwatch.simulator.scenario import START, Scenario, load_scenario

SCENARIOS = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
WHOLE = """\
name: a charge hangs after its worker died
history:
  - workflow: order
    n: 50
    every: 10s
    fail: 0.02
    steps:
      - {step: reserve, duration: {lognormal: {median: 1s, sigma: 0.5}}}
      - {step: charge, duration: {lognormal: {median: 2s, sigma: 0.5}}, may_fail: true,
         retry: {share: 0.01, max_attempts: 3, backoff: 1s}, queue: payments}
      - {step: release, on_failure: true, compensates: reserve, duration: {constant: 1s}}
  - {workflow: mail, step: send, n: 20, every: 10s, duration: {constant: 1s}, fail: 0.1}
events:
  - {history: {workflow: order}, from: 0s, until: 1m, executions: "bg-{i}"}
  - {at: 0s, event: workflow.started, workflow: order, execution_id: o-1}
  - {at: 1s, event: step.started, workflow: order, execution_id: o-1, step: charge, timeout_s: 300}
expect:
  - {at: 4m, findings: [{detector: stalled_step, executions: [o-1]}]}
  - {at: 5s, findings: []}
policy:
  point_finding_ttl: 10m
"""


def load(folder: Path, text: str, name: str = "case.yaml") -> Scenario:
    file = folder / name
    file.write_text(dedent(text), encoding="utf-8")
    return load_scenario(file)


def events_only(lines: str) -> str:
    return f"events:\n{lines}\nexpect: [{{at: 1m, findings: []}}]\n"


def test_a_whole_file(tmp_path: Path) -> None:
    scenario = load(tmp_path, WHOLE)
    assert scenario.name == "a charge hangs after its worker died"
    assert scenario.start == START
    assert len({event.execution_id for event in scenario.past}) == 70
    assert all(event.time < START for event in scenario.past)
    assert [event.time for event in scenario.past] == sorted(e.time for e in scenario.past)
    received = [delivery.received_at for delivery in scenario.deliveries]
    assert received == sorted(received)
    live = {delivery.event.execution_id for delivery in scenario.deliveries}
    assert live == {"o-1", *(f"bg-{i}" for i in range(6))}
    assert [(e.offset_s, e.line) for e in scenario.expectations] == [(5.0, 19), (240.0, 18)]
    assert scenario.expectations[1].findings == [
        {"detector": "stalled_step", "executions": ["o-1"]}
    ]
    assert scenario.expectations[1].contains is None
    assert (scenario.policy, scenario.policy_line) == ({"point_finding_ttl": "10m"}, 20)


def test_the_seed_follows_from_name_and_history_unless_given(tmp_path: Path) -> None:
    first = load(tmp_path, WHOLE)
    assert load(tmp_path, WHOLE) == first
    other_name = load(tmp_path, WHOLE, "other.yaml")
    other_history = load(tmp_path, WHOLE.replace("n: 50", "n: 51"))
    assert len({first.seed, other_name.seed, other_history.seed}) == 3
    assert other_name.past != first.past
    given = load(tmp_path, "seed: 7\n" + WHOLE)
    assert given.seed == 7
    assert load(tmp_path, "seed: 7\n" + WHOLE, "other.yaml").past == given.past


def test_an_event_may_arrive_late_or_have_happened_before_the_start(tmp_path: Path) -> None:
    frame = "workflow: w, execution_id: e"
    scenario = load(
        tmp_path,
        events_only(
            f"  - {{at: 1s, received: 10m, event: workflow.completed, {frame}}}\n"
            f"  - {{at: -10s, event: workflow.started, {frame}}}\n"
            f"  - {{at: 0s, event: step.waiting, step: s, waiting_on: timer, due: 5m, {frame}}}"
        ),
    )
    seen = [
        ((d.received_at - START).total_seconds(), (d.event.time - START).total_seconds())
        for d in scenario.deliveries
    ]
    assert seen == [(-10, -10), (0, 0), (600, 1)]
    assert scenario.deliveries[1].event.due == START + timedelta(minutes=5)
    assert scenario.deliveries[1].event.namespace == "default"


def test_repeat_numbers_every_text_and_moves_every_time(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        events_only(
            "  - {at: 1s, received: 5s, event: workflow.started, workflow: w, due: 60s,\n"
            '     execution_id: "e-{i}", repeat: {n: 3, every: 2s},\n'
            '     attributes: {cart: {items: ["item {i}"]}}}'
        ),
    )
    events = [delivery.event for delivery in scenario.deliveries]
    assert [event.execution_id for event in events] == ["e-0", "e-1", "e-2"]
    assert [event.attributes["cart"]["items"] for event in events] == [
        ["item 0"],
        ["item 1"],
        ["item 2"],
    ]
    assert [(event.time - START).total_seconds() for event in events] == [1, 3, 5]
    assert [event.due - START for event in events if event.due] == [
        timedelta(seconds=60 + 2 * number) for number in range(3)
    ]
    assert [(d.received_at - START).total_seconds() for d in scenario.deliveries] == [5, 7, 9]


def test_identical_events_are_one_event_delivered_twice(tmp_path: Path) -> None:
    line = "  - {at: 1s, event: workflow.started, workflow: w, execution_id: e}"
    late = line.replace("}", ", received: 9s}")
    scenario = load(tmp_path, events_only(f"{line}\n{late}"))
    assert len(scenario.deliveries) == 2
    assert len({delivery.event.event_id for delivery in scenario.deliveries}) == 1


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("policy:", "polcy:", 20, "polcy: unknown key"),
        ("expect:", "expected:", 17, "expected: unknown key"),
        ("every: 10s\n", "evry: 10s\n", 5, "history[0].evry: unknown key"),
        ("sigma: 0.5}}}", "sigma: x}}}", 8, "sigma: must be a number, not 'x'"),
        ("queue: payments", "queue: 7", 10, "history[0].steps[1].queue: Expected `str`"),
        ("share: 0.01", "share: 2", 10, "retry.share: must be between 0 and 1"),
        ("fail: 0.1}", "fail: often}", 12, "history[1].fail: must be a number"),
        ("history: {workflow: order}", "history: {workflow: x}", 14, "fits 0 histories"),
        ('"bg-{i}"', "bg", 14, "needs an {i}"),
        ("until: 1m", "until: soon", 14, "events[0].until: a duration"),
        ("step: charge, timeout_s", "steep: charge, timeout_s", 16, "steep: unknown key"),
        ("timeout_s: 300", "timeout_s: 5m", 16, "events[2].timeout_s: Expected"),
        ("step.started", "step.begun", 16, "events[2].event: 'step.begun' is not a known event"),
        ("execution_id: o-1}", "execution_id: 1}", 15, "execution_id: Expected `str`"),
        ("at: 4m", "at: late", 18, "expect[0].at: a duration"),
        ("stalled_step", "stalled_stp", 18, "'stalled_stp' is not a known detector"),
        ("executions: [o-1]", "executons: [o-1]", 18, "executons: unknown key"),
        ("at: 5s, findings", "at: 5s, at: 6s, findings", 19, "at: is given twice"),
        ("findings: []", "findings: [", 19, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in WHOLE
    with pytest.raises(InputError) as caught:
        load(tmp_path, WHOLE.replace(old, new, 1))
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'case.yaml'}:{line}: ")
    assert message in told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- 1", "must be a mapping"),
        ("name: x", "expect is required"),
        ("expect: []", "expect: expects nothing"),
        ("name: [\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: &a [*a]", "is nested deeper"),
        ("name: x\nseed: \x07", "case.yaml:2: not valid YAML"),
        ("seed: !!int x", "not valid YAML"),
        ("seed: !odd x", "case.yaml:1: not valid YAML"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load(tmp_path, text)


def test_two_lines_may_not_give_the_same_executions(tmp_path: Path) -> None:
    twice = '  - {history: {workflow: mail}, until: 1m, executions: "bg-{i}"}\nexpect:\n'
    with pytest.raises(InputError, match="another line's already"):
        load(tmp_path, WHOLE.replace("expect:\n", twice))


def test_lines_that_give_no_names_are_named_apart(tmp_path: Path) -> None:
    unnamed = (
        "  - {history: {workflow: order}, until: 1m}\n  - {history: {workflow: mail}, until: 1m}\n"
    )
    later = "  - {history: {workflow: order}, from: 2m, until: 3m}\nexpect:\n"
    told = load(tmp_path, WHOLE.replace("expect:\n", unnamed + later)).deliveries
    names: dict[str, set[str]] = {}
    for one in told:
        if one.event.event == "workflow.started" and one.event.execution_id != "o-1":
            names.setdefault(one.event.workflow, set()).add(one.event.execution_id)
    assert names["order"] == {f"bg-{number}" for number in range(18)}
    assert len(names["mail"]) == 6
    assert not names["mail"] & names["order"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        load_scenario(tmp_path / "none.yaml")


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_every_scenario_of_the_project_loads(file: Path) -> None:
    scenario = load_scenario(file)
    detector = file.stem.partition("-")[0]
    assert detector in DETECTOR_IDS
    assert all(event.time < scenario.start for event in scenario.past)
    assert scenario.expectations


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_no_hand_written_execution_shares_its_name_with_the_past(file: Path) -> None:
    scenario = load_scenario(file)
    live = {delivery.event.execution_id for delivery in scenario.deliveries}
    assert not live & {event.execution_id for event in scenario.past}


def test_of_two_histories_of_one_workflow_either_goes_on(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        "history:\n"
        "  - {workflow: w, step: s, n: 5, every: 1s, duration: {constant: 1s}, namespace: a}\n"
        "  - {workflow: w, step: s, n: 5, every: 1s, duration: {constant: 1s}, namespace: b}\n"
        "events:\n"
        "  - {history: {workflow: w, namespace: a}, from: 0s, until: 3s}\n"
        "  - {history: {workflow: w, namespace: b}, from: 0s, until: 3s}\n"
        "expect: [{at: 9s, findings: []}]\n",
    )
    assert {one.event.namespace for one in scenario.deliveries} == {"a", "b"}
