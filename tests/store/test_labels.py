"""What is kept of how right findings were."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from stallwatch.errors import InputError
from stallwatch.model.findings import Status
from stallwatch.store import labels as rooms
from stallwatch.store.labels import (
    NOTE_MAX,
    UnknownFinding,
    count_late,
    forget_labels,
    judge_finding,
    labels,
)
from stallwatch.store.state import State
from tests.store.test_state import FINDING, NOW

STALL = replace(FINDING, evidence={"age_s": 12.5})
LATER = NOW + timedelta(minutes=5)


@pytest.fixture
def state() -> Iterator[State]:
    state = State(None)
    state.save_findings([STALL])
    yield state
    state.close()


def say(state: State, verdict: str, note: str = "") -> rooms.Label:
    return judge_finding(state, "f1", verdict, note=note, by="ada", at=LATER)


def test_a_false_alarm_is_kept_with_its_age_and_acknowledged(state: State) -> None:
    said = say(state, "false-alarm", "month end")
    assert labels(state) == [said]
    assert said.is_false_alarm
    assert (said.age_s, said.note, said.by, said.first_seen) == (12.5, "month end", "ada", NOW)
    assert set(state.acknowledgements(LATER)) == {"f1"}


def test_somebody_may_think_better_of_it(state: State) -> None:
    say(state, "false-alarm")
    (one,) = [say(state, "real")]
    assert [label.verdict for label in labels(state)] == ["real"]
    assert not one.is_false_alarm
    assert state.acknowledgements(LATER) == {}


def test_what_somebody_says_counts_for_more_than_completions(state: State) -> None:
    count_late(state, STALL, 2, 30.0, NOW)
    count_late(state, STALL, 1, 20.0, LATER)
    (one,) = labels(state)
    assert (one.completed_late, one.longest_s, one.is_false_alarm) == (3, 30.0, True)
    repaired = say(state, "real")
    assert (repaired.completed_late, repaired.is_false_alarm) == (3, False)


def test_each_episode_has_its_own(state: State) -> None:
    say(state, "false-alarm")
    again = replace(STALL, first_seen=LATER)
    state.save_findings([again])
    count_late(state, again, 1, 5.0, LATER)
    assert [one.verdict for one in labels(state)] == ["false-alarm", None]
    assert [one.first_seen for one in labels(state, first_seen_from=LATER)] == [LATER]


def test_what_cannot_be_judged_is_said(state: State) -> None:
    state.save_findings([replace(FINDING, fingerprint="f2", status=Status.PENDING)])
    with pytest.raises(UnknownFinding, match="f9"):
        judge_finding(state, "f9", "real", note="", by="", at=NOW)
    with pytest.raises(InputError, match="only suspected"):
        judge_finding(state, "f2", "real", note="", by="", at=NOW)
    with pytest.raises(InputError, match="false-alarm, real"):
        say(state, "wrong")
    with pytest.raises(InputError, match="note"):
        say(state, "real", "x" * (NOTE_MAX + 1))
    assert labels(state) == []


def test_they_are_forgotten(state: State) -> None:
    say(state, "real")
    assert forget_labels(state, LATER) == 0
    assert forget_labels(state, LATER + timedelta(seconds=1)) == 1
    assert labels(state) == []


def test_there_is_an_end_to_them(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "LABELS_MAX", 3)
    for number in range(6):
        at = NOW + timedelta(seconds=number)
        count_late(state, replace(FINDING, first_seen=at), 1, 1.0, at)
    assert [one.first_seen.second for one in labels(state)] == [3, 4, 5]
