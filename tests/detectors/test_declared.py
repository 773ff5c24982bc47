"""What definitions declare, from a real store to a finding."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from detectors import retries_exhausted
from detectors.brain import Brain
from detectors.calibration import Declared, Said, read_declared
from stallwatch.config import load_detectors
from stallwatch.config.engines.declared import DeclaredStep
from stallwatch.model.definitions import Definition, Source
from stallwatch.model.events import event_from_dict
from stallwatch.model.findings import Finding
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.detectors.support import PLACE

CONFIGURED = DeclaredStep(workflow="order", step="charge", timeout=30, max_attempts=2)


def of_charge(source: Source, version: str = "", **said: Any) -> Definition:
    return Definition(
        engine="custom", workflow="order", step="charge", source=source, workflow_version=version,
        **said,
    )  # fmt: skip


def tell(store: Store, at: datetime, event: str, execution_id: str, **said: Any) -> None:
    data = {"event": event, "time": at, "workflow": "order", "execution_id": execution_id, **said}
    store.insert_events([event_from_dict(data, at)], at, "shop")
    store.fold(at)


def found_at(store: Store, now: datetime, *seconds: float) -> list[list[Finding]]:
    """What fires so many seconds after `now`."""
    brain = Brain(store, State(None), load_detectors({}, "test"), now)
    found = []
    for second in seconds:
        brain.tick(now + timedelta(seconds=second))
        found.append(brain.findings())
    return found


def test_a_configured_timeout_counts_as_one_that_the_attempt_declares(
    store: Store, now: datetime
) -> None:
    store.replace_configured([CONFIGURED.definition()], now)
    tell(store, now, "workflow.started", "o-1")
    tell(store, now, "step.started", "o-1", step="charge")
    tell(store, now, "workflow.started", "o-2")
    tell(store, now, "step.started", "o-2", step="charge", timeout_s=30)
    before, (finding,) = found_at(store, now, 30, 32)
    assert before == []
    assert (finding.detector, finding.executions) == ("stalled_step", ("o-1", "o-2"))
    assert finding.evidence["declared_by"] == "configuration"


def test_what_nobody_declares_is_not_called_stalled(store: Store, now: datetime) -> None:
    tell(store, now, "workflow.started", "o-1")
    tell(store, now, "step.started", "o-1", step="charge")
    assert found_at(store, now, 32) == [[]]


def test_the_last_attempt_that_the_configuration_allows(store: Store, now: datetime) -> None:
    store.replace_configured([CONFIGURED.definition()], now)
    tell(store, now, "workflow.started", "o-1")
    for attempt in (1, 2):
        at = now + timedelta(seconds=10 * attempt)
        tell(store, at, "step.started", "o-1", step="charge", attempt=attempt)
        at += timedelta(seconds=1)
        tell(store, at, "step.failed", "o-1", step="charge", attempt=attempt, error_type="Down")
        # Another step, of which nothing is declared.
        tell(store, at, "step.failed", "o-1", step="pack", attempt=9, error_type="Down")
    first, second = found_at(store, now, 12, 25)
    exhausted = [
        [one for one in found if one.detector == retries_exhausted.DETECTOR.id]
        for found in (first, second)
    ]
    assert [[one.step for one in found] for found in exhausted] == [[], ["charge"]]
    assert "attempt 2 of 2 allowed (declared in the configuration)" in exhausted[1][0].explanation


def test_the_most_trusted_source_that_says_something_counts(store: Store, now: datetime) -> None:
    store.write_definitions(
        [
            of_charge("server", timeout_s=60.0, schedule_to_close_timeout_s=90.0),
            of_charge("asl", timeout_s=40.0, max_attempts=5),
            of_charge("configuration", max_attempts=3, waiting_on="human"),
        ],
        now,
    )
    assert read_declared(store).of(PLACE, "") == {
        "max_attempts": Said(3, "configuration"),
        "waiting_on": Said("human", "configuration"),
        "timeout_s": Said(40.0, "asl"),
        "schedule_to_close_timeout_s": Said(90.0, "server"),
    }


@pytest.mark.parametrize(
    "said",
    [
        {"source": "asl", "heartbeat_timeout_s": 5.0},
        {"source": "asl", "max_attempts": 1},
        {"source": "asl", "max_attempts": 5, "catches": ("States.ALL",)},
        {"source": "asl", "waiting_on": "callback"},
    ],
)
def test_what_would_mislead_is_not_held_against_attempts(
    store: Store, now: datetime, said: dict[str, Any]
) -> None:
    store.write_definitions([of_charge(**said)], now)
    assert read_declared(store).of(PLACE, "") == {}


def test_the_version_comes_first_then_none_then_the_latest(store: Store, now: datetime) -> None:
    for minute, version in enumerate(("2", "10", "9")):
        one = of_charge("asl", version, timeout_s=10.0 + minute)
        store.write_definitions([one], now + timedelta(minutes=minute))
    declared = read_declared(store)
    assert [declared.of(PLACE, version)["timeout_s"].value for version in ("2", "10", "", "1")] == [
        10.0, 11.0, 12.0, 12.0,
    ]  # fmt: skip
    anyway = of_charge("configuration", timeout_s=99.0, schedule_to_close_timeout_s=100.0)
    store.write_definitions([anyway], now)
    declared = read_declared(store)
    assert [declared.of(PLACE, version)["timeout_s"].value for version in ("2", "", "1")] == [
        10.0, 99.0, 99.0,
    ]  # fmt: skip
    assert declared.of(PLACE, "2")["schedule_to_close_timeout_s"].value == 100.0
    assert declared.of((*PLACE[:3], "pack"), "2") == {}
    assert Declared().of(PLACE, "") == {}
