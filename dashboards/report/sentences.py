"""What to do about a step's timeout, in the words of a colleague."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

from stallwatch.model.durations import format_duration
from stallwatch.model.recommendations import CHANGES, StepRecommendation

VERDICT_WORDS: Final = {
    "too_tight": "too tight",
    "no_timeout": "no timeout",
    "too_loose": "too loose",
    "ok": "ok",
    "inconclusive": "insufficient data",
}

LOOSE_FACTOR: Final = 4.0
"""So many times the recommended timeout is called too long, once there is enough data."""


def name_of(step: StepRecommendation) -> str:
    """`order / charge`; namespace and engine only where they are not the default ones."""
    parts = [step.workflow, step.step]
    if step.engine != "custom":
        parts.insert(0, step.engine)
    if step.namespace != "default":
        parts.insert(0, step.namespace)
    return " / ".join(parts)


def in_order(steps: Sequence[StepRecommendation]) -> list[StepRecommendation]:
    """What to change first, first: cut-off work, then missing timeouts, then waiting for nothing.

    Within a verdict by how many attempts are cut off, or how many seconds would be saved; last
    what is fine or cannot be judged, by name.
    """

    def weight(step: StepRecommendation) -> float:
        if step.verdict == "too_tight":
            return (step.healthy_cut or 0.0) * (step.n + step.censored)
        return max(step.stuck_s_saved or 0.0, 0.0) if step.verdict in CHANGES else 0.0

    ranks = [*CHANGES, "ok", "inconclusive"]
    return sorted(
        steps,
        key=lambda step: (ranks.index(step.verdict), -weight(step), name_of(step)),
    )


def rounded_up_s(timeout_s: float) -> float:
    """The next number of two significant digits, as a person would type it: 44.7 → 45, 0.123 → 0.13."""
    unit = 10.0 ** (math.floor(math.log10(timeout_s)) - 1)
    return float(f"{math.ceil(timeout_s / unit - 1e-9) * unit:.12g}")


def advice(step: StepRecommendation) -> str:
    """One to three sentences: what is wrong, what to set, and what that would have done."""
    return " ".join(_advice(step))


def _advice(step: StepRecommendation) -> Iterator[str]:
    current_s, recommended_s = step.current_timeout_s, step.recommended_timeout_s
    if step.verdict == "inconclusive" or recommended_s is None:
        yield (
            f"Insufficient data: {step.missing_n:,} more completions needed "
            f"({step.n:,} so far, {step.censored:,} timed out)."
        )
    elif current_s is None:
        yield "No timeout is declared in the telemetry: an attempt that hangs may never be given up."
        yield _what_to_set(step, recommended_s)
    elif step.verdict == "too_tight":
        yield (
            f"{format_duration(current_s)} cuts off an estimated "
            f"{share(step.healthy_cut or 0.0)} of attempts that would have completed "
            f"({step.censored:,} of {step.n + step.censored:,} timed out)."
        )
        if recommended_s > current_s:
            yield (
                f"Set {format_duration(rounded_up_s(recommended_s))}, and measure again: how long "
                "the cut-off attempts would have taken is not known yet."
            )
        else:
            yield _what_to_set(step, recommended_s)
    elif step.verdict == "too_loose":
        yield _how_loose(step, current_s, recommended_s)
        yield _what_to_set(step, recommended_s)
    elif current_s > LOOSE_FACTOR * recommended_s:
        yield (
            f"{format_duration(current_s)} looks too long for what was seen so far "
            f"({format_duration(recommended_s)} would do), but {step.n:,} completions are too few "
            "to be sure."
        )
    else:
        yield (
            f"{format_duration(current_s)} is fine: {share(step.healthy_cut or 0.0)} of attempts "
            f"are cut off, and {format_duration(recommended_s)} would do."
        )
        if step.change == "due":
            yield f"It is so far off that a change is due all the same. {_what_to_set(step, recommended_s)}"


def _how_loose(step: StepRecommendation, current_s: float, recommended_s: float) -> str:
    """The p99.9 is what people compare with; where there is none, what is recommended."""
    base_s = step.p999_s or recommended_s
    what = f"its p99.9 ({format_duration(base_s)})" if step.p999_s else "what it needs"
    return f"{format_duration(current_s)} allows {current_s / base_s:,.0f} times {what}."


def _what_to_set(step: StepRecommendation, recommended_s: float) -> str:
    saved = ""
    if step.stuck_s_saved is not None and step.stuck_s_saved >= 1:
        saved = f", and {format_duration(step.stuck_s_saved)} of waiting saved"
    return (
        f"Set {format_duration(rounded_up_s(recommended_s))}; at that value "
        f"{step.recommended_cut_n or 0:,} of {step.n:,} completed attempts would have been cut"
        f"{saved}."
    )


def share(part: float) -> str:
    """`1.2 %`, `0.03 %`, `0 %`, of a part between 0 and 1."""
    return f"{part * 100:.2g} %"


def counts(steps: Sequence[StepRecommendation]) -> str:
    """`4 steps: 1 too tight, 2 ok, 1 insufficient data.`"""
    if not steps:
        return "No step had an attempt that came to an end in this window."
    tally = [
        f"{number} {words}"
        for verdict, words in VERDICT_WORDS.items()
        if (number := sum(step.verdict == verdict for step in steps))
    ]
    return f"{len(steps)} step{'s' if len(steps) > 1 else ''}: {', '.join(tally)}."


def headlines(steps: Sequence[StepRecommendation], most: int) -> list[str]:
    """The report in a few lines: how many steps need what, then the first `most` of those to change."""
    to_change = [step for step in in_order(steps) if step.verdict in CHANGES]
    lines = [f"{name_of(step)}: {advice(step)}" for step in to_change[:most]]
    left_out = len(to_change) - len(lines)
    return [counts(steps), *lines, *([f"{left_out} more need a change."] if left_out else [])]
