"""What courses teach: which edges are known, what is missing, which ways lead back."""

from datetime import UTC, datetime, timedelta

import pytest

from detectors.statistics.courses import Course
from detectors.statistics.flow_model import Flow, Observed, learned_flow

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATER = EARLY + timedelta(days=2)


def course(*texts: str) -> Course:
    """`a b` as two steps one after the other; texts with a mark stay as they are."""
    out: list[str] = []
    for text in texts:
        out += [text] if text[0] in "+*-!/^" else [f"+{text}", f"-{text}"]
    return tuple(out)


def seen(
    one: Course,
    n: int = 100,
    version: str = "",
    completed: bool = True,
    at: datetime = EARLY,
    depth: int = 0,
) -> Observed:
    names = tuple(f"{at:%d}-{one}-{number}" for number in range(min(n, 3)))
    return Observed(version, depth, one, completed, n, at, names)


def test_what_was_seen_before_or_three_times_is_known() -> None:
    flow = learned_flow([seen(course("a", "b"), n=2), seen(course("a", "c"), n=2, at=LATER)])
    assert flow.knows((0, "a", "b"), LATER)
    assert not flow.knows((0, "a", "c"), LATER)
    often = learned_flow(
        [seen(course("a", "c"), n=2, at=LATER), seen(course("a", "c", "d"), 1, at=LATER)]
    )
    assert often.knows((0, "a", "c"), LATER)
    assert not often.knows((1, "a", "c"), LATER)


def test_the_missing_step_is_the_likeliest() -> None:
    flow = learned_flow([seen(course("a", "x", "b"), 80), seen(course("a", "y", "b"), 20)])
    assert flow.missing((0, "a", "b"), (), LATER) == ("x", 0.8)
    # What belongs in between more likely than not is there: it overlapped.
    assert flow.missing((0, "a", "b"), {"x"}, LATER) is None
    assert flow.missing((0, "a", "b"), {"y"}, LATER) == ("x", 0.8)
    assert flow.missing((0, "x", "y"), (), LATER) is None
    assert flow.missing((0, "a", "new"), (), LATER) is None
    assert flow.missing((0, "", "b"), (), LATER) is None


def test_ways_back() -> None:
    flow = learned_flow([seen(course("a", "b", "c")), seen(course("a", "b", "a", "b", "c"))])
    assert flow.reaches(0, "a", "c", LATER)
    assert flow.reaches(0, "b", "a", LATER)
    assert not flow.reaches(0, "c", "a", LATER)
    # What follows an error is no way that counts.
    after_error = learned_flow([seen(course("a", "b", "+c", "!c", "a", "b", "c"))])
    assert not after_error.reaches(0, "b", "a", LATER)


def test_what_is_counted() -> None:
    flow = learned_flow(
        [
            seen(course("a", "b"), 60, version="v1"),
            seen(course("a", "+b", "!b"), 5, version="v2"),
            seen(course("a", "+b", "!b"), 7, completed=False),
            seen(course("k"), 9, depth=1),
        ]
    )
    assert (flow.times(0, "a", "v1"), flow.times(0, "a", "v2"), flow.times(0, "", "v2")) == (
        60,
        5,
        5,
    )
    assert flow.ran == {"a": 65, "b": 65, "k": 9}
    assert (flow.given_up["b"].n, set(flow.given_up)) == (5, {"b"})
    assert flow.has_branches
    assert (flow.may_end(1, "k"), flow.may_end(0, "a"), flow.may_end(0, "new")) == (
        True,
        False,
        True,
    )
    assert not Flow().has_branches


@pytest.mark.parametrize("n", [1, 2])
def test_sightings_of_an_edge_in_different_courses_add_up(n: int) -> None:
    flow = learned_flow([seen(course("a", "b"), n), seen(course("a", "b", "c"), n)])
    assert flow.edges[0, "a", "b"].n == 2 * n
    assert len(flow.edges[0, "a", "b"].executions) == min(2 * n, 3)
