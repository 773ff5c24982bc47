"""What sets the affected apart: one cause, two, none, and which of several that look alike."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.statistics.explain import (
    NO_VALUE,
    SCORE_MIN,
    Cells,
    Explanation,
    Value,
    explain,
)


def cells(rows: list[tuple[dict[str, int], int, int]]) -> Cells:
    """(values, attempts, affected) of each cell; a dimension that is not named has no value."""
    names = list(dict.fromkeys(name for values, _, _ in rows for name in values))
    codes = {
        name: np.array([values.get(name, NO_VALUE) for values, _, _ in rows]) for name in names
    }
    return Cells(
        attempts=np.array([n for _, n, _ in rows], dtype=float),
        affected=np.array([o for _, _, o in rows], dtype=float),
        codes=codes,
        values={name: len(set(found) - {NO_VALUE}) for name, found in codes.items()},
    )


def values(found: list[Explanation]) -> list[Value]:
    return [one.value for one in found]


def grid(affected: Any, n: int = 100) -> Cells:
    """5 queues by 4 downstreams by 3 regions, `n` attempts each, of them affected(queue, downstream, region)."""
    return cells(
        [
            ({"downstream": d, "queue": q, "region": r}, n, affected(q, d, r))
            for q in range(5)
            for d in range(4)
            for r in range(3)
        ]
    )


def test_one_cause_is_found_and_nothing_else() -> None:
    (found,) = explain(grid(lambda q, d, r: 90 if d == 2 else 1))
    assert found.value == ("downstream", 2)
    assert (found.affected, found.attempts) == (15 * 90, 15 * 100)
    assert found.outside == pytest.approx(0.01)
    assert found.share == pytest.approx(1350 / 1395)


def test_two_causes_are_found_apart() -> None:
    found = explain(grid(lambda q, d, r: 90 if d == 2 or q == 4 else 1))
    assert sorted(values(found)) == [("downstream", 2), ("queue", 4)]


def test_nothing_that_chance_explains_is_a_cause() -> None:
    assert explain(grid(lambda q, d, r: 1)) == []
    assert explain(grid(lambda q, d, r: 0)) == []
    # Beyond chance among so many, but no reason for any of it.
    assert explain(grid(lambda q, d, r: 1200 if d == 2 else 1000, n=100_000)) == []


def test_two_queues_of_one_region_are_not_the_region() -> None:
    """The region covers both, but its other queues are well."""
    rows = [
        ({"region": region, "queue": 5 * region + queue}, 200, 190 if region + queue == 0 else 1)
        for region in range(4)
        for queue in range(5)
    ]
    rows[1] = ({"region": 0, "queue": 1}, 200, 190)
    assert sorted(values(explain(cells(rows)))) == [("queue", 0), ("queue", 1)]


def test_steps_that_suffer_unequally_have_one_cause_still() -> None:
    """One step is called so seldom that it is hardly late yet."""
    suffer = (95, 80, 60, 20)
    rows = [
        ({"downstream": 0 if step < 4 else 1, "step": step}, 100, suffer[step] if step < 4 else 1)
        for step in range(20)
    ]
    assert values(explain(cells(rows))) == [("downstream", 0)]


def test_of_what_cannot_be_told_apart_the_first_is_named_and_the_others_are_told() -> None:
    rows = [
        ({"step": 0, "downstream": 0, "queue": 0}, 50, 50),
        ({"step": 1, "queue": 1}, 500, 0),
        ({"step": 2, "queue": 1}, 500, 0),
    ]
    (found,) = explain(cells(rows))
    assert found.value == ("step", 0)
    assert found.also == (("downstream", 0), ("queue", 0))


def test_having_no_value_is_no_cause() -> None:
    rows = [({"downstream": 0}, 500, 0), ({}, 50, 50)]
    assert explain(cells(rows)) == []


def test_what_was_held_gives_way_to_clearly_better_only() -> None:
    def close(q: int, d: int, r: int) -> int:
        """Both are affected; the queue a little more where they do not meet."""
        return 60 if d == 2 and q == 4 else 0

    rows = grid(close)
    (fresh,) = explain(rows, ())
    other: Value = ("queue", 4) if fresh.value[0] == "downstream" else ("downstream", 2)
    assert explain(rows, {other})[0].value == other
    clear = grid(lambda q, d, r: 90 if d == 2 else 1)
    assert explain(clear, {("queue", 4)})[0].value == ("downstream", 2)


COUNTS = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {"queue": st.integers(-1, 4), "step": st.integers(-1, 6), "region": st.integers(-1, 2)}
        ),
        st.integers(1, 60),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(COUNTS)
def test_causes_share_nothing_and_are_worse_than_the_rest(
    counts: list[tuple[dict[str, int], int, float]],
) -> None:
    rows = [(said, n, round(n * rate)) for said, n, rate in counts]
    given_cells = cells(rows)
    found = explain(given_cells)
    for one in found:
        assert one.score > 0
        assert one.affected / one.attempts > one.outside
        assert one.value[1] != NO_VALUE
    if found:
        # Parts of one cause that fit better than it may be weaker each.
        assert max(one.score for one in found) > SCORE_MIN / 2
        assert np.sum([one.cells for one in found], axis=0).max() <= 1
        assert sum(one.share for one in found) <= 1 + 1e-9
    # A cell told in two halves is the same.
    halves = [(said, n - n // 2, o - min(o, n // 2)) for said, n, o in rows]
    halves += [(said, n // 2, min(o, n // 2)) for said, n, o in rows if n // 2]
    assert values(explain(cells(halves))) == values(found)
