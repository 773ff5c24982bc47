"""Words that several detectors need: shares, chances, names, how sure a limit is."""

import pytest

from detectors.explaining import dominant_words, named, seldom, share, so_have, sureness
from tests.detectors.support import learned


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0 %"),
        (0.00957, "0.957 %"),
        (0.99, "99 %"),
        (0.9995, "99.95 %"),
        (0.9999, "99.99 %"),
        (0.999999, "99.99 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_is_100_percent_only_where_it_is_all(value: float, told: str) -> None:
    assert share(value) == told


def test_a_share_of_fewer_digits_is_no_power_of_ten() -> None:
    assert [share(value, 2) for value in (0.0, 1e-7, 0.00957, 0.996, 1.0)] == [
        "0 %",
        "0.00001 %",
        "0.96 %",
        "99.6 %",
        "100 %",
    ]


@pytest.mark.parametrize(
    ("one_in", "told"),
    [(1.0, "1"), (87.4, "87"), (336_724, "340,000"), (999_999, "1,000,000"), (1e300, "a billion")],
)
def test_a_chance_has_two_digits(one_in: float, told: str) -> None:
    assert seldom(one_in) == told


def test_what_is_always_allowed_is_told_only_where_it_decides() -> None:
    quick = learned(0.2)
    words = "A healthy gap takes longer than 1.2s less than once in 100,000"
    assert sureness(quick, "gap") == f"{words}."
    assert sureness(quick, "gap", 1.0) == f"{words}."
    assert sureness(quick, "gap", 30.0) == f"{words}; up to 30s is always allowed."


def test_names_and_how_many_have_none() -> None:
    ids = ["o-1", "o-2", "o-3", "o-4"]
    assert named(ids[:3]) == "o-1, o-2, o-3"
    assert named(ids) == "o-1, o-2, o-3 and 1 more"
    assert named(ids[:2], n=1200) == "o-1, o-2 and 1,198 more"
    assert so_have([], 0) == ""
    assert so_have(["o-2"], 1) == " So has 1 other execution: o-2."
    assert so_have(ids, 29) == " So have 29 other executions: o-1, o-2, o-3 and 26 more."


def test_where_one_or_nearly_all_are() -> None:
    found = {"queue": "payments", "version": "2"}
    assert dominant_words({}, 1) == ""
    assert dominant_words(found, 1) == " It ran on queue payments, version 2."
    assert dominant_words(found, 1, "waits") == " It waits on queue payments, version 2."
    assert (
        dominant_words(found, 5, "waits")
        == " Nearly all of these executions: queue payments, version 2."
    )
