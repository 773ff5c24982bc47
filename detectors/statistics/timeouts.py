"""Which timeout a step should have, how sure that is, and what is wrong with the one it has."""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import special

from detectors.statistics.calibrator import tau
from detectors.statistics.samples import Floats, empirical_quantile, sorted_durations
from detectors.statistics.steadiness import Change, Week, change_of, steady_s

Verdict = Literal["too_tight", "too_loose", "ok", "no_timeout", "inconclusive"]

CONFIDENCE: Final = 0.95
RECOMMENDED_Q: Final = 0.999
GUIDANCE_Q: Final = 0.99
BUFFER_DEFAULT: Final = 0.3
BUFFER_MIN: Final = 0.2
BUFFER_MAX: Final = 0.5
TAIL_N_MIN: Final = 100
"""From so many completions on the tail model may stand in for an order statistic."""

TOO_TIGHT_CUT: Final = 0.005
TOO_LOOSE_FACTOR: Final = 4.0
TOO_LOOSE_N_MIN: Final = 3000

RUNG: Final = 1.5
"""The ladder compares how many completed in the last two factors of 1.5 below the timeout."""
RUNG_RATIO_MAX: Final = 0.85
"""A slower decay cannot be summed up from two rungs."""
BEYOND_TARGET: Final = 0.001
BIG_STEP_BEYOND: Final = 0.01
BIG_STEP: Final = 2.0
CANARY_TIMED_OUT_SHARE: Final = 0.01
CANARY_SHARE: Final = 0.05
CANARY_FACTOR: Final = 4.0


@dataclass(frozen=True)
class Rung:
    """What the ladder says to try next, in seconds: a higher timeout for all, or for a few as a
    canary."""

    kind: Literal["raise", "canary"]
    timeout_s: float


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A step's timeout, judged. `n` completed, `censored` timed out; None: not known.

    `p99_low_s` and `p99_high_s` each hold with 95 % confidence. `buffer` is recommended / p99 - 1,
    `guidance_buffer` the configured b of `guidance_timeout_s` = p99·(1 + b). The cuts are shares of
    healthy attempts that the current, the recommended and the guidance's timeout would end.
    `stuck_s_saved`: how much sooner the recommended one would have ended the timed-out attempts
    (negative: later). `missing_n`: completions still needed for a verdict. `canary_timeout_s`: try
    this on CANARY_SHARE of the attempts, because so many time out that the current timeout may lie
    between two modes of healthy durations. `weekly_upper_s`: the upper limit by these durations alone;
    `change`: whether the current timeout should become the recommended one.
    """

    n: int
    censored: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    p999_s: float | None
    p99_low_s: float | None
    p99_high_s: float | None
    current_timeout_s: float | None
    recommended_timeout_s: float | None
    guidance_timeout_s: float | None
    buffer: float | None
    guidance_buffer: float
    verdict: Verdict
    healthy_cut: float | None
    recommended_cut: float | None
    guidance_cut: float | None
    stuck_s_saved: float | None
    missing_n: int
    canary_timeout_s: float | None
    weekly_upper_s: float | None
    change: Change | None


def completions_needed(q: float, confidence: float = CONFIDENCE) -> int:
    """How many completions bound the q-quantile from above by their longest: 299 for p99, 2,995 for
    p99.9."""
    return math.ceil(math.log(1 - confidence) / math.log(q))


def _binomial_quantile(probability: float, n: int, q: float) -> int:
    """The smallest k with P(Binomial(n, q) ≤ k) ≥ `probability`."""
    return bisect.bisect_left(range(n + 1), probability, key=lambda k: float(special.bdtr(k, n, q)))


def upper_q(durations_s: Floats, q: float, confidence: float = CONFIDENCE) -> float | None:
    """Upper confidence limit of the q-quantile, seconds.

    An order statistic, free of assumptions, where n suffices. Below, from TAIL_N_MIN durations on,
    the tail model's quantile at half the exceedance: it covers 94 to 99 % for lognormal and
    exponential durations, but only 69 to 89 % for a power law. (A bootstrap covers 41 to 92 %.)
    None below that.
    """
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    k = _binomial_quantile(confidence, n, q)
    if k < n:
        return float(ascending[k])
    return tau(ascending, (1 - q) / 2) if n >= TAIL_N_MIN else None


def quantile_interval(
    durations_s: Floats, q: float, confidence: float = CONFIDENCE
) -> tuple[float | None, float | None]:
    """Lower and upper limit of the q-quantile, seconds; each alone holds with `confidence`.

    The lower one is the largest order statistic j with P(Binomial(n, q) ≥ j) ≥ `confidence`.
    """
    ascending = sorted_durations(durations_s)
    n = len(ascending)
    below = bisect.bisect_right(
        range(n + 1), 1 - confidence, key=lambda k: float(special.bdtr(k, n, q))
    )
    low = float(ascending[below - 1]) if below else None
    return low, upper_q(ascending, q, confidence)


def quantile(durations_s: Floats, q: float) -> float | None:
    """Point estimate of a quantile beyond p99, seconds: empirical where its limit is, else by the
    tail."""
    ascending = sorted_durations(durations_s)
    if len(ascending) >= completions_needed(q):
        return empirical_quantile(ascending, q)
    return tau(ascending, 1 - q) if len(ascending) >= TAIL_N_MIN else None


def healthy_beyond(durations_ok_s: Floats, n_timed_out: int, timeout_s: float) -> float:
    """Estimated share of attempts that would complete, but later than the timeout that cut them
    off.

    With r the ratio of completions in the last two rungs below the timeout, the rungs above are
    taken to shrink by r as well: a geometric sum. Robust where survival estimates are not: with a
    tenth censored the p99 of the successes alone reads 0.19 to 0.58 of the truth, and Kaplan-Meier
    is infinite.
    """
    durations = np.asarray(durations_ok_s, dtype=np.float64)
    n = len(durations) + n_timed_out
    last = int((durations > timeout_s / RUNG).sum())
    previous = int((durations > timeout_s / RUNG**2).sum()) - last
    ratio = min((last + 0.5) / (previous + 0.5), 1.0)
    return (last + 1) / n * ratio / (1 - min(ratio, RUNG_RATIO_MAX))


def ladder(durations_ok_s: Floats, n_timed_out: int, timeout_s: float) -> Rung | None:
    """The next timeout to try when some attempts are cut off by this one; None when it is known
    well enough.

    Above 0.1 % of healthy attempts beyond: 1.5 times as long, above 1 % twice. Otherwise, with more
    than 1 % timed out, a canary: a timeout in the valley between two modes looks fine.
    """
    beyond = healthy_beyond(durations_ok_s, n_timed_out, timeout_s)
    if beyond > BEYOND_TARGET:
        return Rung("raise", timeout_s * (RUNG if beyond < BIG_STEP_BEYOND else BIG_STEP))
    timed_out_share = n_timed_out / (len(durations_ok_s) + n_timed_out)
    if timed_out_share > CANARY_TIMED_OUT_SHARE:
        return Rung("canary", CANARY_FACTOR * timeout_s)
    return None


def healthy_cut(
    durations_ok_s: Floats, n_timed_out: int, current_timeout_s: float | None, candidate_s: float
) -> float:
    """Share of healthy attempts (0 to 1) that a timeout of `candidate_s` would have ended.

    Those that completed later, and, if the candidate is not above the current timeout, those which
    that one cut off although they were healthy: no more than were cut off at all.
    How many of those a longer candidate would cut is unknown, and counts as none.
    """
    durations = np.asarray(durations_ok_s, dtype=np.float64)
    attempts = len(durations) + n_timed_out
    if not attempts:
        return 0.0
    cut = int((durations > candidate_s).sum()) / attempts
    if n_timed_out and current_timeout_s and candidate_s <= current_timeout_s:
        beyond = healthy_beyond(durations, n_timed_out, current_timeout_s)
        cut += min(beyond, n_timed_out / attempts)
    return cut


def recommend(
    durations_ok_s: Floats,
    n_timed_out: int,
    current_timeout_s: float | None,
    buffer: float = BUFFER_DEFAULT,
    earlier: Sequence[Week] = (),
) -> Recommendation:
    """Judge a step's timeout by its completed durations (seconds) and how many attempts it cut off.

    1. Percentiles with their limits. 2. The recommended timeout: the upper 95 % of p99.9, raised by the ladder where
    attempts were cut off, smoothed over the `earlier` weeks (the oldest first). 3. The guidance's p99·(1 + `buffer`).
    4. What each would cut. 5. The verdict, and whether it is time to change.

    `current_timeout_s` None or 0: none is declared. Raises ValueError for a buffer outside [0.2,
    0.5], a negative `n_timed_out` or a duration that is not finite.
    """
    if not BUFFER_MIN <= buffer <= BUFFER_MAX:
        raise ValueError(f"the buffer lies between {BUFFER_MIN} and {BUFFER_MAX}, not at {buffer}")
    if n_timed_out < 0:
        raise ValueError("a negative number of attempts cannot have timed out")
    durations = sorted_durations(durations_ok_s)
    n = len(durations)
    current_s = current_timeout_s or None
    p50_s, p95_s, p99_s = (
        empirical_quantile(durations, q) if n else None for q in (0.50, 0.95, GUIDANCE_Q)
    )
    p99_low_s, p99_high_s = quantile_interval(durations, GUIDANCE_Q)
    rung = _next_rung(durations, n_timed_out, current_s)
    upper_s = upper_q(durations, RECOMMENDED_Q)
    raised_s = rung.timeout_s if rung is not None and rung.kind == "raise" else 0.0
    recommended_s = None
    if upper_s is not None:
        # What was cut off is as much a part of a week as what was seen of it.
        upper_s = max(upper_s, raised_s)
        recommended_s = steady_s([*(week.upper_s for week in earlier), upper_s])
    guidance_s = p99_s * (1 + buffer) if p99_s is not None and n >= TAIL_N_MIN else None

    def cut(candidate_s: float | None) -> float | None:
        if candidate_s is None:
            return None
        return healthy_cut(durations, n_timed_out, current_s, candidate_s)

    current_cut = cut(current_s)
    if recommended_s is not None and (current_cut or 0.0) > TOO_TIGHT_CUT:
        recommended_s = max(recommended_s, raised_s)
    return Recommendation(
        n=n,
        censored=n_timed_out,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        p999_s=quantile(durations, RECOMMENDED_Q),
        p99_low_s=p99_low_s,
        p99_high_s=p99_high_s,
        current_timeout_s=current_s,
        recommended_timeout_s=recommended_s,
        guidance_timeout_s=guidance_s,
        buffer=recommended_s / p99_s - 1 if recommended_s and p99_s else None,
        guidance_buffer=buffer,
        verdict=_verdict(n, current_s, recommended_s, current_cut),
        healthy_cut=current_cut,
        recommended_cut=cut(recommended_s),
        guidance_cut=cut(guidance_s),
        stuck_s_saved=(
            n_timed_out * (current_s - recommended_s) if current_s and recommended_s else None
        ),
        missing_n=max(completions_needed(GUIDANCE_Q) - n, 0),
        canary_timeout_s=rung.timeout_s if rung is not None and rung.kind == "canary" else None,
        weekly_upper_s=upper_s,
        change=(
            change_of(current_s, recommended_s, upper_s, earlier, current_cut or 0.0)
            if upper_s is not None
            and recommended_s is not None
            and n >= completions_needed(GUIDANCE_Q)
            else None
        ),
    )


def _next_rung(durations: Floats, n_timed_out: int, current_s: float | None) -> Rung | None:
    """The ladder, where it has something to stand on.

    When nothing healthy lies within two rungs of the timeout, what it cut off were hangs or another
    mode: then only the canary can tell.
    """
    # No more than those that timed out can have been healthy.
    if current_s is None or n_timed_out <= BEYOND_TARGET * (len(durations) + n_timed_out):
        return None
    if len(durations) and durations[-1] > current_s / RUNG**2:
        return ladder(durations, n_timed_out, current_s)
    if n_timed_out / (len(durations) + n_timed_out) > CANARY_TIMED_OUT_SHARE:
        return Rung("canary", CANARY_FACTOR * current_s)
    return None


def _verdict(
    n: int, current_s: float | None, recommended_s: float | None, current_cut: float | None
) -> Verdict:
    if n < completions_needed(GUIDANCE_Q):
        return "inconclusive"
    if current_s is None or recommended_s is None:
        return "no_timeout"
    if current_cut is not None and current_cut > TOO_TIGHT_CUT:
        return "too_tight"
    if current_s > TOO_LOOSE_FACTOR * recommended_s and n >= TOO_LOOSE_N_MIN:
        return "too_loose"
    return "ok"
