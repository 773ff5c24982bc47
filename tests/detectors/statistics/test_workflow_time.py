"""The step graph as the past shows it, and what is drawn from it."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.statistics.step_laws import Attempt, Law
from detectors.statistics.workflow_time import DRAWS, STEP_RUNS_MAX, StepGraph, learn_graph

Run = tuple[float, list[Attempt]]


def tries(*steps: tuple[str, float, float], branch: str = "") -> list[Attempt]:
    """One attempt of each: step, begin, end."""
    return [
        Attempt(step, branch, str(i), 1, True, *times) for i, (step, *times) in enumerate(steps)
    ]


def graph_of(runs: Iterable[Run]) -> StepGraph:
    graph = learn_graph(list(runs))
    assert graph is not None
    return graph


def after(graph: StepGraph) -> list[dict[str, set[str]]]:
    """Of each shape, what each step waits for."""
    return [
        {s: {shape.steps[i] for i in waits} for s, waits in zip(*shape, strict=True)}
        for shape in graph.shapes
    ]


def test_steps_one_after_the_other_wait_for_the_one_before() -> None:
    graph = graph_of([(4.0, tries(("a", 0, 1), ("b", 1, 2), ("c", 2, 4)))])
    assert after(graph) == [{"a": set(), "b": {"a"}, "c": {"b"}}]


def test_branches_do_not_wait_for_each_other_but_what_follows_waits_for_both() -> None:
    run = [
        *tries(("a", 0, 1)),
        *tries(("left", 1, 2), branch="0"),
        *tries(("right", 3, 5), branch="1"),
        *tries(("z", 5, 6)),
    ]
    graph = graph_of([(6.0, run)])
    assert after(graph) == [{"a": set(), "left": {"a"}, "right": {"a"}, "z": {"left", "right"}}]


def test_steps_that_are_under_way_together_at_times_do_not_wait_for_each_other() -> None:
    apart = (9.0, tries(("left", 0, 2), ("right", 3, 5)))
    together = (9.0, tries(("left", 0, 4), ("right", 3, 5)))
    often, seldom = graph_of([*[apart] * 9, together]), graph_of([*[apart] * 30, together])
    assert after(often) == [{"left": set(), "right": set()}]
    assert after(seldom)[0] == {"left": set(), "right": {"left"}}


def test_which_branch_was_faster_makes_no_other_shape() -> None:
    def run(left_s: float, right_s: float) -> Run:
        return 9.0, tries(("left", 0, left_s), branch="0") + tries(
            ("right", 0, right_s), branch="1"
        )

    assert len(graph_of([run(1, 2), run(2, 1)]).shapes) == 1


def test_a_loop_is_a_chain() -> None:
    graph = graph_of([(3.0, tries(("a", 0, 1), ("a", 1, 2), ("a", 2, 3)))])
    (shape,) = graph.shapes
    assert shape.after == ((), (0,), (1,))
    assert graph.critical_path({"a": 10.0}) == (30.0, ("a", "a", "a"))


def test_the_critical_path_goes_through_the_longer_branch() -> None:
    run = [
        *tries(("left", 0, 2), branch="0"),
        *tries(("right", 0, 1), branch="1"),
        *tries(("z", 2, 3)),
    ]
    graph = graph_of([(3.0, run)])
    assert graph.critical_path({"left": 5, "right": 9, "z": 1}) == (10, ("right", "z"))
    assert graph.critical_path({"z": 1}) == (1, ("z",))


def test_one_long_loop_among_many_executions_is_not_the_rule() -> None:
    short = (1.0, tries(("a", 0, 1)))
    long = (9.0, tries(*(("a", float(i), i + 1.0) for i in range(9))))
    assert graph_of([*[short] * 19, long]).critical_path({"a": 10})[0] == 10
    assert graph_of([short, *[long] * 19]).critical_path({"a": 10})[0] == 90


def test_retries_and_their_pauses_are_drawn() -> None:
    def run(n: int) -> Run:
        attempts = [Attempt("a", "", "", k + 1, k == n, 3.0 * k, 3.0 * k + 1) for k in range(n + 1)]
        return attempts[-1].end_s, attempts

    graph = graph_of([run(0)] * 80 + [run(1)] * 16 + [run(2)] * 4)
    law = graph.laws["a"]
    # 24 of 124 attempts failed; each costs its second and two more.
    assert law.failing == pytest.approx(24 / 124)
    drawn = graph.draw()
    assert set(np.round(drawn, 3)) == {1.0, 4.0, 7.0}
    assert np.mean(drawn > 6) == pytest.approx((24 / 124) ** 2, abs=0.005)


def test_nothing_is_learned_of_nothing_and_of_endless_loops() -> None:
    assert learn_graph([]) is None
    assert learn_graph([(1.0, [])]) is None
    endless = tries(*(("a", float(i), i + 1.0) for i in range(STEP_RUNS_MAX + 1)))
    assert learn_graph([(1.0, endless)]) is None


def lognormal(median_s: float) -> Callable[[np.random.Generator], float]:
    return lambda random: float(median_s * random.lognormal(0, 0.5))


def test_the_p999_is_that_of_the_whole_and_the_same_each_time() -> None:
    random = np.random.default_rng(3)

    def run(_: int) -> Run:
        a, b, c = (lognormal(median_s)(random) for median_s in (1, 2, 2))
        both = tries(("b", a, a + b), branch="0") + tries(("c", a, a + c), branch="1")
        return a + max(b, c), tries(("a", 0, a)) + both

    graph = graph_of(run(i) for i in range(3000))
    truth = np.quantile([run(i)[0] for i in range(100_000)], 0.999)
    assert graph.p999_s == pytest.approx(truth, rel=0.08)
    assert len(graph.draw()) == DRAWS
    assert graph_of([(1.0, tries(("a", 0, 1)))]).p999_s == pytest.approx(1.0)
    assert (graph.draw() == graph.draw()).all()
    assert graph.share_beyond(graph.p999_s) == pytest.approx(0.001, abs=0.0003)


def test_beyond_what_was_seen_only_if_asked() -> None:
    seen = np.random.default_rng(1).lognormal(0, 1, 500)
    random = np.random.default_rng(2)
    assert Law(seen).draw(50_000, random).max() <= seen.max() * 1.0001
    longer = Law(seen, beyond_seen=True).draw(200_000, random)
    assert longer.max() > seen.max()
    assert 0.0003 < np.mean(longer > np.exp(3.09)) < 0.003


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50))
def test_what_is_drawn_was_seen(durations: list[float]) -> None:
    drawn = Law(np.array(durations)).draw(200, np.random.default_rng(0))
    assert min(durations) * 0.999 <= drawn.min() or (drawn.min() == 0 and min(durations) < 0.0011)
    assert drawn.max() <= max(durations) * 1.001
