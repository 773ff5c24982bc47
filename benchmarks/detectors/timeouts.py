"""Timeouts: what the recommended ones cut off although a timeout hides the tail, how often they change, how soon they
follow a real change of the durations, and how well the workflow's p99.9 is simulated.

Goals: at most 0.2 % of healthy attempts cut, at most 4 changes a year (without what a real change of the durations asks
for), a change followed within a few weeks, and a simulated p99.9 of the workflow within 1.2 %.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.detectors import table
from detectors.statistics.samples import Floats
from detectors.statistics.steadiness import SPREAD_WEEKS, Week
from detectors.statistics.step_laws import Attempt
from detectors.statistics.timeouts import recommend
from detectors.statistics.workflow_time import BATCHES, DRAWS, WORKFLOW_Q, learn_graph

NAME: Final = "Timeouts"
SEED: Final = 20_261
# No constant of the timeouts' statistics was tuned on these.
LIGHT: Final = {
    "gamma(2)": stats.gamma(2),
    "Weibull(0.7)": stats.weibull_min(0.7),
    "inverse Gauss(1)": stats.invgauss(1),
    "lognormal(0.8)": stats.lognorm(0.8),
}
HEAVY: Final = {
    "lognormal(1.3)": stats.lognorm(1.3),
    "Burr(2, 0.8)": stats.burr12(2, 0.8),
    "Lomax(2.2)": stats.lomax(2.2),
    "half Cauchy": stats.halfcauchy(),
}
SIZES: Final = (500, 3_000, 10_000)
"""Attempts a week."""
LADDER_WEEKS: Final = 12
WEEKS_A_YEAR: Final = 52
DRIFT: Final = 0.1
"""Standard deviation of a week's pace, in logarithms: no week is quite like the one before."""

SHIFTS: Final = (2.0, 4.0, 0.5, 0.25)
SHIFT_AT: Final = 16
SHIFT_WEEKS: Final = 16

Law = stats.distributions.rv_frozen


def measure(quick: bool) -> str:
    """The section, as Markdown."""
    parts = (_cuts(quick), _changes(quick), _shifts(quick), _workflows(quick))
    return "\n\n".join(parts)


def _followed(
    law: Law, paces: Floats, n: int, random: np.random.Generator, current_s: float | None = None,
    hanging: float = 0.0,
) -> list[float]:  # fmt: skip
    """The timeout after each week (infinite: none yet), for whoever sets what is due.

    `paces`: how many times as long as the law says all of a week's n attempts take. A share of `hanging` never ends.
    """
    earlier: list[Week] = []
    set_s = []
    for pace in paces:
        durations = pace * law.rvs(n, random_state=random)
        completed = durations if current_s is None else durations[durations <= current_s]
        timed_out = n - len(completed) + random.binomial(n, hanging)
        advice = recommend(completed, timed_out, current_s, earlier=earlier[1 - SPREAD_WEEKS :])
        recommended_s, upper_s = advice.recommended_timeout_s, advice.weekly_upper_s
        if recommended_s is not None and upper_s is not None:
            earlier.append(Week(upper_s, recommended_s))
            if advice.change in ("at_once", "due"):
                current_s = recommended_s
        set_s.append(current_s or np.inf)
    return set_s


def _changed(set_s: Sequence[float]) -> list[int]:
    """The weeks with another timeout than the week before."""
    return [week for week in range(1, len(set_s)) if set_s[week] != set_s[week - 1]]


def _paces(weeks: int, random: np.random.Generator) -> Floats:
    return np.exp(random.normal(0, DRIFT, weeks))


def _cuts(quick: bool) -> str:
    """Begin with a timeout that cuts off a tenth, do each week what is recommended, and see what is cut in the end."""
    random = np.random.default_rng(SEED)
    runs = 2 if quick else 20
    rows = []
    for name, law in {**LIGHT, **HEAVY}.items():
        first_s = float(law.isf(0.1))
        cells = [name]
        for n in SIZES:
            climbs = [
                [first_s, *_followed(law, np.ones(LADDER_WEEKS), n, random, first_s, hanging=0.01)]
                for _ in range(runs)
            ]
            cuts = [float(law.sf(climb[-1])) for climb in climbs]
            cells += [f"{100 * np.mean(cuts):.3f} %", f"{100 * np.max(cuts):.3f} %"]
        cells.append(f"{np.median([max(_changed(climb), default=0) for climb in climbs]):.0f}")
        rows.append(cells)
    headings = [one for n in SIZES for one in (f"{n:,} a week", "worst run")]
    return (
        "### Healthy attempts that are cut off\n\n"
        f"The first timeout is the true p90; 1 % of the attempts hang. For {LADDER_WEEKS} weeks, what is recommended\n"
        f"is set where it is due. The share of healthy attempts that the last timeout cuts, and ({SIZES[-1]:,} a week) "
        f"the\nlast week in which it was changed. {runs} runs; goal: at most 0.2 %.\n\n"
        + table(("durations", *headings, "weeks of change"), rows)
    )


def _changes(quick: bool) -> str:
    """How often a year a timeout is changed by whoever follows every report."""
    random = np.random.default_rng(SEED + 1)
    years = 1 if quick else 8
    weeks = SPREAD_WEEKS + years * WEEKS_A_YEAR
    rows = []
    for name, law in {**LIGHT, **HEAVY}.items():
        cells = [name]
        for n in SIZES:
            changed = _changed(_followed(law, _paces(weeks, random), n, random))
            # The weeks that fill the window are no year yet.
            cells.append(f"{sum(week >= SPREAD_WEEKS for week in changed) / years:.1f}")
        rows.append(cells)
    return (
        "### Changes a year\n\n"
        "Weekly reports over weekly samples, what is due is set. Each week's pace differs by 10 % (one standard\n"
        f"deviation), otherwise nothing changes; timeouts cut what exceeds them. {years} years; goal: at most 4.\n\n"
        + table(("durations", *(f"{n:,} a week" for n in SIZES)), rows)
    )


def _shifts(quick: bool) -> str:
    """How soon the timeout follows when the durations change for good."""
    random = np.random.default_rng(SEED + 3)
    rows = []
    for name, law in {**LIGHT, **HEAVY}.items():
        for n in SIZES[:2]:
            cells = [_shift(law, n, factor, 2 if quick else 20, random) for factor in SHIFTS]
            rows.append([f"{name}, {n:,} a week", *cells])
    headings = ("durations", *(f"{factor:g} times as long" for factor in SHIFTS))
    return (
        "### When durations change for good\n\n"
        f"After {SHIFT_AT} weeks as above, all attempts take so many times as long. Weekly reports until the timeout\n"
        "is changed in that direction, median and 90 %; and the share of healthy attempts that are cut off in the\n"
        f"fifth week of it, in the mean (goal: at most 0.2 %). {SHIFT_WEEKS} weeks, {2 if quick else 20} runs.\n\n"
        + table(headings, rows)
    )


def _shift(law: Law, n: int, factor: float, runs: int, random: np.random.Generator) -> str:
    """`2, 5 (0.010 %)`."""
    waits, cuts = [], []
    for _ in range(runs):
        paces = _paces(SHIFT_AT + SHIFT_WEEKS, random)
        paces[SHIFT_AT:] *= factor
        set_s = _followed(law, paces, n, random)
        after = [
            week - SHIFT_AT + 1
            for week in _changed(set_s)
            if week >= SHIFT_AT and (set_s[week] > set_s[week - 1]) == (factor > 1)
        ]
        waits.append(after[0] if after else np.inf)
        cuts.append(float(law.sf(set_s[SHIFT_AT + 3] / factor)))
    median, most = np.quantile(waits, (0.5, 0.9), method="inverted_cdf")
    shown = [f"{one:.0f}" if np.isfinite(one) else f"> {SHIFT_WEEKS}" for one in (median, most)]
    return f"{shown[0]}, {shown[1]} ({100 * np.mean(cuts):.3f} %)"


def _workflows(quick: bool) -> str:
    """The p99.9 of executions drawn from a graph, against that of very many from the same graph, and against the
    truth that the graph was learned from."""
    n = 500 if quick else 20_000
    truth_n = 100_000 if quick else 1_000_000
    rows = []
    for name, run in WORKFLOWS.items():
        truth_s = _p999_s(run(truth_n, np.random.default_rng(SEED + 2))[0])
        drawing, learning = [], []
        for seed in range(2 if quick else 4):
            graph = learn_graph(_executions(run, n, np.random.default_rng(seed)))
            if graph is None:
                raise AssertionError("nothing was learned")
            itself_s = _p999_s(graph.draw(truth_n, seed=SEED))
            drawn_s = [_p999_s(graph.drawn(one)) for one in range(1, 7)]
            drawing += [abs(one / itself_s - 1) for one in drawn_s]
            learning += [abs(one / truth_s - 1) for one in drawn_s]
        cells = [
            f"{100 * f(errors):.1f} %" for errors in (drawing, learning) for f in (np.mean, np.max)
        ]
        rows.append([name, f"{truth_s:.2f} s", *cells])
    headings = ("workflow", "true p99.9", "error of drawing", "worst", "of learning too", "worst")
    return (
        "### The p99.9 of a workflow\n\n"
        f"A graph learned from {n:,} executions. {BATCHES * DRAWS:,} draws against {truth_n:,} from the same graph\n"
        f"(goal: 1.2 %), and against {truth_n:,} executions.\n\n" + table(headings, rows)
    )


def _p999_s(durations_s: Floats) -> float:
    return float(np.quantile(durations_s, WORKFLOW_Q))


Drawn = tuple[Floats, list[tuple[str, str, int, bool, Floats, Floats]]]
"""How long executions take, and of each attempt: step, branch, number, success, begin, end."""


def _sequence(n: int, random: np.random.Generator) -> Drawn:
    ends = [np.zeros(n)]
    attempts = []
    for name, law in (("a", stats.gamma(2)), ("b", stats.lognorm(0.8)), ("c", stats.invgauss(1))):
        begin = ends[-1] + 0.05
        ends.append(begin + law.rvs(n, random_state=random))
        attempts.append((name, "", 1, True, begin, ends[-1]))
    return ends[-1], attempts


def _parallel(n: int, random: np.random.Generator) -> Drawn:
    first = random.gamma(2, 1, n)
    attempts = [("a", "", 1, True, np.zeros(n), first)]
    branches = []
    for number, law in enumerate((stats.lognorm(0.8), stats.weibull_min(0.7), stats.gamma(3))):
        end = first + law.rvs(n, random_state=random)
        branches.append(end)
        attempts.append((f"b{number}", str(number), 1, True, first, end))
    joined = np.max(branches, axis=0)
    last = joined + random.gamma(2, 1, n)
    return last, [*attempts, ("z", "", 1, True, joined, last)]


WORKFLOWS: Final[dict[str, Callable[[int, np.random.Generator], Drawn]]] = {
    "three steps in a row": _sequence,
    "three branches between two steps": _parallel,
}


def _executions(
    run: Callable[[int, np.random.Generator], Drawn], n: int, random: np.random.Generator
) -> list[tuple[float, list[Attempt]]]:
    took_s, attempts = run(n, random)
    return [
        (
            float(took_s[i]),
            [
                Attempt(step, branch, "", number, done, float(begin[i]), float(end[i]))
                for step, branch, number, done, begin, end in attempts
            ],
        )
        for i in range(n)
    ]
