"""What a threshold learned from everything costs where durations are not all alike: load that comes and goes with the
day, a step that sometimes waits without saying so, and clocks that disagree. No goal was set for these; the figures say
what to expect.
"""

from typing import Final

import numpy as np
from scipy import stats

from benchmarks.detectors import table
from benchmarks.detectors._laws import Mixture
from detectors.calibration.learned import SLACK_MEDIAN_SHARE, SLACK_MIN_S
from detectors.statistics.samples import Floats, empirical_quantile
from detectors.statistics.threshold import stall_threshold

NAME: Final = "Stalls: day and night, unlabelled waits, clocks"

ALPHA: Final = 1e-5
STEP: Final = stats.lognorm(0.5, scale=2)
"""A step of 2 s in the median."""


def measure(quick: bool) -> str:
    """Three parts, each with its table."""
    repetitions = 2 if quick else 40
    return "\n\n".join([_days(repetitions), _waits(repetitions), _clocks(repetitions)])


def _seconds(durations: Floats) -> float:
    seconds = stall_threshold(durations, ALPHA).seconds
    return float("inf") if seconds is None else seconds


def _load(hour: Floats, busy: float) -> Floats:
    """How many times longer everything takes at this hour: once at midnight, `busy` times at noon."""
    return np.asarray(busy ** (0.5 - 0.5 * np.cos(hour / 24 * 2 * np.pi)))


def _days(repetitions: int) -> str:
    every_hour = _load(np.arange(0, 24, 0.25), 1.0)
    rows = []
    for busy in (1.0, 1.5, 2.0, 3.0, 5.0):
        loads = _load(np.arange(len(every_hour)) / 4, busy)
        for known, until_h in (("7 days", 24.0), ("one night", 6.0)):
            random = np.random.default_rng(3)
            n = 10_000 if until_h == 24.0 else 1_500
            used, at_noon, wait = [], [], []
            for _ in range(repetitions):
                load = _load(random.uniform(0, until_h, n), busy)
                limit = _seconds(load * STEP.rvs(size=n, random_state=random))
                by_hour = STEP.sf(limit / loads) / ALPHA
                used.append(by_hour.mean())
                at_noon.append(by_hour.max())
                wait.append(limit / STEP.isf(ALPHA))
            rows.append(
                [
                    f"{busy:g} times slower at noon", known, f"{np.mean(used):.2f}",
                    f"{np.mean(at_noon):.2f}", f"{np.median(wait):.2f}",
                ]
            )  # fmt: skip
    headings = ("load", "learned from", "used", "used at noon", "delay ratio at midnight")
    return (
        "### Day and night\n\nThe step takes longer by day, smoothly; 10,000 durations of 7 days, or 1,500 "
        "from midnight to six, are held against the whole day. One false alarm in 100,000 allowed.\n\n"
    ) + table(headings, rows)


def _waits(repetitions: int) -> str:
    """Some attempts wait for a person and nothing says so."""
    person = stats.lognorm(1.0, scale=3_600)
    rows = []
    for share in (0.0, 0.0001, 0.001, 0.01, 0.05, 0.2):
        law = Mixture((1 - share, share), (STEP, person))
        figures = []
        for n in (1_000, 10_000):
            random = np.random.default_rng(5)
            limits = [_seconds(law.rvs(n, random)) for _ in range(repetitions)]
            told = float(np.mean([share * person.sf(limit) for limit in limits]))
            figures += [
                f"{np.median(limits):,.0f} s",
                "-" if not share else f"{told / share:.0%}",
            ]
        rows.append([f"{share:.2%}", *figures])
    headings = (
        "attempts that wait", "limit, n = 1,000", "waits told", "limit, n = 10,000", "waits told",
    )  # fmt: skip
    return (
        "### Waits that nothing labels\n\nA share of the attempts of a step of 2 s waits for a person, an hour in the "
        f"median. The best limit without such waits is {STEP.isf(ALPHA):.0f} s. *Waits told*: the share of these waits "
        "that is called a stall.\n\n"
    ) + table(headings, rows)


def _clocks(repetitions: int) -> str:
    """Ten workers, each with a clock of its own, whose starts and ends are held against ours."""
    n, rows = 3_000, []
    for skew_s in (0.0, 1.0, 30.0):
        for where in ("both", "end"):
            random = np.random.default_rng(9)
            used, wait = [], []
            for _ in range(repetitions):
                ahead = random.uniform(-skew_s, skew_s, 10)
                true_s = STEP.rvs(size=n, random_state=random)
                end_ahead = ahead[np.arange(n) % 10]
                seen_s = np.maximum(true_s + (end_ahead if where == "end" else 0.0), 1e-3)
                lateness_s = max(empirical_quantile(np.sort(0.1 - end_ahead), 0.999), 0.0)
                median_s = empirical_quantile(np.sort(seen_s), 0.5)
                slack_s = max(lateness_s, SLACK_MIN_S, SLACK_MEDIAN_SHARE * median_s)
                limit = _seconds(seen_s) + slack_s
                # Open for so long by our clock: a start by a clock that is behind looks older.
                behind = -ahead if where == "both" else np.zeros(10)
                used.append(np.mean(STEP.sf(limit - behind)) / ALPHA)
                wait.append(float(np.mean(limit - behind)) / STEP.isf(ALPHA))
            told = "worker tells both" if where == "both" else "worker tells the end only"
            rows.append([f"up to {skew_s:g} s, {told}", f"{np.mean(used):.2f}", f"{np.median(wait):.2f}"])  # fmt: skip
    return (
        "### Clocks that disagree\n\nTen workers whose clocks are off by up to so much, either way; 3,000 durations, "
        "one false alarm in 100,000 allowed. The slack for late news is in the figures: a clock that is behind makes "
        "news look late, which pays for the age that it adds.\n\n"
    ) + table(("clocks", "used", "delay ratio"), rows)
