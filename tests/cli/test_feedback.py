"""`feedback` and `budget` where no service runs: they need the brain's state alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from stallwatch.model.findings import Status
from stallwatch.store.labels import labels
from stallwatch.store.state import State
from tests.app.running import Place
from tests.cli.document import documented
from tests.store.test_state import FINDING

JSON = ("--format", "json")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An installation whose brain has told of two findings."""
    place = Place(tmp_path)
    folder = place.data / "state"
    folder.mkdir(parents=True)
    state = State(folder / "brain.sqlite")
    suspected = replace(FINDING, fingerprint="f2", status=Status.PENDING)
    state.save_findings([replace(FINDING, evidence={"age_s": 7.0}), suspected])
    state.close()
    return place


def test_a_verdict_is_kept(place: Place) -> None:
    said = place.here("feedback", "f1", "--verdict", "false-alarm", "--note", "as ever")
    assert (said.code, said.out, said.err) == (0, "stalled_step order · charge: false-alarm\n", "")
    again = place.here("feedback", "f1", "--verdict", "real", *JSON)
    assert [list(row) for row in again.data] == [documented("feedback")]
    state = State(place.data / "state" / "brain.sqlite")
    assert [(one.verdict, one.note, one.by) for one in labels(state)] == [
        ("real", "", "command line")
    ]
    state.close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("f9", "--verdict", "real"), "there is no finding 'f9'"),
        (("f2", "--verdict", "real"), "only suspected"),
        (("f1", "--verdict", "wrong"), "--verdict: must be one of false-alarm, real, not 'wrong'"),
        (("f1", "--verdict", "real", "--note", "x" * 1001), "note: must have at most 1000"),
        (("f1",), "--verdict"),
    ],
)
def test_what_cannot_be_is_said(place: Place, words: tuple[str, ...], said: str) -> None:
    ended = place.here("feedback", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_the_budget_is_shown(place: Place) -> None:
    place.here("feedback", "f1", "--verdict", "false-alarm")
    rows = place.here("budget", *JSON).data
    assert [list(row) for row in rows] == [documented("budget")] * len(rows)
    stalls = rows[0]
    assert (stalls["detector"], stalls["allowed_per_week"]) == ("stalled_step", 0.36)
    table = place.here("budget")
    assert table.code == 0
    assert "stalled_step" in table.out
