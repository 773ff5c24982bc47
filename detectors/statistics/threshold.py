"""How old may a step become before it counts as stalled, and what that costs in false alarms."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from detectors.statistics.calibrator import CONFORMAL_EXCEEDANCES, model_for, tau
from detectors.statistics.cold_start import cold_start_tau
from detectors.statistics.samples import NOTHING, Floats, sorted_durations

Rule = Literal["conformal", "gpd", "slow_mode", "interpolated", "cold_start", "declared", "none"]

WEEK_S: Final = 7 * 86400.0
ALPHA_MIN: Final = 1e-6
"""On a busier fleet the expected overspend is shown instead of thresholds that no one would wait
for."""
ALPHA_MAX: Final = 0.05
"""However seldom a step runs: one attempt in twenty is the most that may be called late without
cause."""
RARE_STEP_BUDGET: Final = 0.02
"""A step that runs seldom may cost one false alarm in fifty weeks beside the fleet's budget."""
GPD_MIN: Final = 300
COLD_START_BELOW: Final = 100
SLOW_MODE_MIN: Final = 5
SLOW_MODE_GAP: Final = math.log(3)
"""So many durations beyond a gap of a factor of 3 are another kind of attempt (one that waits, a cache
that misses): among the longest of a single power law such a gap is a matter of 1 in 100."""
RATCHET_FACTOR: Final = 1.5
"""A flagged attempt that completes after d seconds after all sets `ratchet_s` to at least 1.5·d."""

NEW_VERSION_MIN: Final = 20
NEW_VERSION_UNKNOWN_FACTOR: Final = 8.0
_NEW_VERSION_N: Final = (20, 100, 500)
_NEW_VERSION_FACTORS: Final = (1.6, 1.3, 1.1)
"""What the uncertainty of the new median costs, at so many completions of the new version."""


@dataclass(frozen=True)
class Threshold:
    """An attempt older than `seconds` is stalled; None: never.

    `rule` says what set it, `n` from how many durations, `alpha` the false-alarm probability per
    attempt that was asked for.
    """

    seconds: float | None
    rule: Rule
    n: int
    alpha: float


def stall_threshold(
    durations_s: Floats,
    alpha: float,
    declared_timeout_s: float | None = None,
    lateness_s: float = 0.0,
    ratchet_s: float | None = None,
    censored_s: Floats = NOTHING,
) -> Threshold:
    """The age at which an open attempt of a step is stalled.

    1. Learn τ from the past durations of completed attempts (see `_learn`).
    2. Raise it to `ratchet_s`, what earlier false alarms taught.
    3. Never wait longer than the declared timeout plus `lateness_s`, by which its news usually
    arrive late.

    `declared_timeout_s` None or 0 means that none is declared. `censored_s`: the ages at which other
    attempts were seen for the last time, timed out, cancelled or still open. Raises ValueError for a duration
    that is not finite or alpha outside (0, 1).
    """
    durations = sorted_durations(durations_s)
    n = len(durations)
    declared_s = declared_timeout_s + lateness_s if declared_timeout_s else math.inf
    learned_s, rule = _learn(durations, alpha, censored_s)
    if 0 < n * alpha < 1:
        # No tail is believed to be heavier than Pareto(1), which has no mean: a few odd ones must not end all patience.
        learned_s = min(learned_s, float(durations[-1]) / (n * alpha))
    if n and ratchet_s is not None:
        learned_s = max(learned_s, ratchet_s)
    if declared_s < learned_s:
        return Threshold(declared_s, "declared", n, alpha)
    return Threshold(learned_s if n else None, rule, n, alpha)


def _learn(durations: Floats, alpha: float, censored_s: Floats) -> tuple[float, Rule]:
    """τ by the rule that fits the number of durations; infinite without any. Where the longest are a
    mode of their own, of few durations, it is τ of that mode.

    Where not one exceedance is expected in the sample (n·alpha < 1) the tail is a guess, and twice
    over budget for power laws: calibrated at alpha/2 it is 0.8 to 1.3 times alpha for those and
    below alpha for lighter tails.
    """
    n = len(durations)
    if n == 0:
        return math.inf, "none"
    in_sample = n * alpha >= CONFORMAL_EXCEEDANCES
    calibrated = alpha / 2 if n * alpha < 1 else alpha
    slow = _slow_mode(durations)
    if n >= COLD_START_BELOW and 2 * n * alpha < len(slow) < COLD_START_BELOW and not in_sample:
        slow_s = cold_start_tau(slow, calibrated * n / len(slow))
        # Where the tail model finds enough of them, it may know their shape better.
        return min(slow_s, tau(durations, calibrated, model_for(n), censored_s)), "slow_mode"
    if n >= GPD_MIN or in_sample:
        tail_s = tau(durations, calibrated, model_for(n), censored_s)
        return tail_s, "conformal" if in_sample else "gpd"
    cold_s = cold_start_tau(durations, calibrated)
    if n < COLD_START_BELOW:
        return cold_s, "cold_start"
    tail_s = tau(durations, calibrated, model_for(n), censored_s)
    share = math.log(n / COLD_START_BELOW) / math.log(GPD_MIN / COLD_START_BELOW)
    return math.exp((1 - share) * math.log(cold_s) + share * math.log(tail_s)), "interpolated"


def _slow_mode(ascending: Floats) -> Floats:
    """The durations beyond the widest gap in the upper half, if it is wide; else none.

    A tail model fitted across the gap would go on in its steps, into years: these few are a sample of
    their own, and all of the tail.
    """
    upper = ascending[len(ascending) // 2 : len(ascending) - SLOW_MODE_MIN + 1]
    if len(upper) < 2:
        return NOTHING
    gaps = np.diff(np.log(upper))
    widest = int(gaps.argmax())
    beyond = len(ascending) // 2 + widest + 1
    return ascending[beyond:] if gaps[widest] >= SLOW_MODE_GAP else NOTHING


def version_threshold(tau_old_s: float, median_old_s: float, new_durations_s: Floats) -> float:
    """τ for a new version of a step, from the old version's τ and the new one's first completions.

    The tail keeps its shape and moves with the median, with a margin that shrinks as completions
    come in; below NEW_VERSION_MIN of them the new median means nothing and 8·τ_old is used.
    """
    new = sorted_durations(new_durations_s)
    if len(new) < NEW_VERSION_MIN:
        return NEW_VERSION_UNKNOWN_FACTOR * tau_old_s
    factor = np.exp(
        np.interp(np.log(len(new)), np.log(_NEW_VERSION_N), np.log(_NEW_VERSION_FACTORS))
    )
    return tau_old_s * float(np.median(new)) / median_old_s * float(factor)


def per_week(observed: float, span_s: float) -> float:
    """How much of what was observed in `span_s` seconds comes in a week; all of it where that is not known (0)."""
    return observed * WEEK_S / span_s if span_s > 0 else observed


def alpha_for(
    budget_per_week: float, attempts_per_week_fleet: float, attempts_per_week_step: float
) -> float:
    """The false-alarm probability that one attempt of a step may have, within [ALPHA_MIN,
    ALPHA_MAX].

    The detector's weekly budget is spread over the attempts of the whole fleet; a rare step may
    have more (RARE_STEP_BUDGET over its own attempts), as its share would make it wait for ever.
    """
    fleet = budget_per_week / max(attempts_per_week_fleet, 1.0)
    relief = RARE_STEP_BUDGET / max(attempts_per_week_step, 1.0)
    return min(max(fleet, relief, ALPHA_MIN), ALPHA_MAX)


def exceeded_share(durations_s: Floats, age_s: float) -> float | None:
    """Share of past attempts that had ended before this age (0 to 1); None without a past."""
    return float(np.mean(np.asarray(durations_s) < age_s)) if len(durations_s) else None
