"""What rosters teach: what is absent, of how many, and when a roster is known."""

from datetime import UTC, datetime, timedelta

import pytest

from detectors.statistics.rosters import SURER, Absence, Roster, Rosters, Seen, roster_of

EARLY = datetime(2026, 1, 1, tzinfo=UTC)
LATER = EARLY + timedelta(days=2)
LEAST = 50


def runs(*steps: str) -> Roster:
    roster = roster_of(tuple(f"+{step}" for step in steps))
    assert roster is not None
    return roster


def seen(
    *steps: str, n: int = 100, version: str = "", at: datetime = EARLY, ids: str = "p"
) -> Seen:
    return Seen(runs(*steps), version, n, at, tuple(f"{ids}-{i}" for i in range(min(n, 3))))


def absent(rosters: Rosters, *steps: str, version: str = "") -> Absence | None:
    return rosters.absence(runs(*steps), version, LATER, LEAST)


def test_runs_are_counted_by_their_beginnings() -> None:
    assert roster_of(("+a", "-a", "+b", "+a", "-b", "-a")) == frozenset(
        {("a", 1), ("b", 1), ("a", 2)}
    )
    assert roster_of(("*undo", "-undo")) == frozenset({("undo", 1)})
    assert roster_of(()) == frozenset()
    assert roster_of(("+a", "!a", "+b", "-b")) is None


def test_what_always_ran_beside_something_is_absent() -> None:
    rosters = Rosters([seen("a", "b", "x"), seen("a", "c", "y"), seen("a", "c", "z")], 3)
    # c was seen most often, but only b demands x.
    assert absent(rosters, "a", "b") == Absence((("x", 1),), ("b", 1), 100, 1.0)
    assert absent(rosters, "b") == Absence((("a", 1), ("x", 1)), ("b", 1), 100, 1.0)
    assert absent(rosters, "a", "b", "x") is None


def test_what_never_ran_with_what_ran_is_not_absent() -> None:
    rosters = Rosters([seen("a", "b", "x"), seen("c", "y"), seen("c", "z")], 3)
    assert absent(rosters, "b", "y", "a") is None


def test_a_new_step_is_news() -> None:
    assert absent(Rosters([seen("a", "x")], 3), "a", "new") is None


@pytest.mark.parametrize(
    ("n", "version", "tells"), [(50, "", True), (49, "", False), (99, "v2", False)]
)
def test_little_seen_of_the_version_tells_nothing(n: int, version: str, tells: bool) -> None:
    rosters = Rosters([seen("a", "x", n=n)], 3)
    assert (absent(rosters, "a", version=version) is not None) is tells


def test_a_further_run_needs_more() -> None:
    few, many = (Rosters([seen("a", "a", "b", n=n)], 3) for n in (SURER * LEAST - 1, SURER * LEAST))
    assert absent(few, "a", "b") is None
    assert absent(many, "a", "b") == Absence((("a", 2),), ("a", 1), SURER * LEAST, 1.0)
    # As many of one as of the other, however many.
    rounds = Rosters([seen(*"ab" * n, n=SURER * LEAST) for n in (1, 2, 3)], 3)
    assert absent(rounds, *"abab", "a") == Absence((("b", 3),), ("a", 3), SURER * LEAST, 1.0)


def test_one_of_several_is_absent_where_the_rest_is_the_same() -> None:
    rosters = Rosters([seen("a", "x", n=30), seen("a", "y", n=20)], 3)
    assert absent(rosters, "a") == Absence((("x", 1),), None, 50, 0.6)
    assert absent(Rosters([seen("a", "x", n=30), seen("a", "y", n=19)], 3), "a") is None


def test_what_was_seen_before_or_three_times_is_known() -> None:
    usual = seen("a", "x")
    assert absent(Rosters([usual, seen("a", n=1)], 3), "a") is None
    assert absent(Rosters([usual, seen("a", n=3, at=LATER)], 3), "a") is None
    young = Rosters([usual, seen("a", n=2, at=LATER)], 3)
    found = absent(young, "a")
    assert found is not None
    assert young.others(runs("a"), found, LATER) == {"p-0", "p-1"}
    # A day later it is known.
    assert young.absence(runs("a"), "", LATER + timedelta(days=1), LEAST) is None
    assert absent(young, "a") == found


def test_others_are_those_that_lack_the_same() -> None:
    rosters = Rosters(
        [
            seen("a", "b", "x"),
            seen("a", "x"),
            seen("a", n=1, at=LATER, ids="q"),
            seen("a", "b", n=1, at=LATER, ids="r"),
            seen("b", "x", n=1, at=LATER, ids="s"),
        ],
        3,
    )
    found = absent(rosters, "a", "b")
    assert found is not None
    assert found.runs == (("x", 1),)
    assert rosters.others(runs("a", "b"), found, LATER) == {"q-0", "r-0"}
