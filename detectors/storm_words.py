"""What is said of a retry storm, and what to do about it."""

from collections.abc import Iterator
from datetime import timedelta

from detectors.explaining import clock, named, share
from detectors.statistics.backoff import Backoff, Jitter, RetryPattern
from detectors.storm import Storm
from stallwatch.model.durations import format_duration

_JITTER = {
    Jitter.NONE: "without jitter",
    Jitter.WEAK: "with hardly any jitter",
    Jitter.EQUAL: "with jitter over half of the pause",
    Jitter.FULL: "with full jitter",
}


def explain(storm: Storm, cause: tuple[str, float] | None) -> str:
    """Since when, how much compared with what, how the retries are spaced, what is behind them."""
    _, _, workflow, step = storm.place
    calls = f" against {storm.downstream}" if storm.downstream else ""
    lasting = format_duration((storm.until - storm.since) / timedelta(seconds=1))
    if storm.is_older:
        lasting = f"at least {lasting}"
    said = [
        f"{step} of {workflow} has been tried again{calls} far more often than usual since "
        f"{clock(storm.since)}, for {lasting}: {storm.retries:,} retries beside {storm.firsts:,} "
        f"first attempts, {storm.retries_60s:,} of them in the last minute. Usually "
        f"{share(storm.habit.ratio)} of first attempts are followed by a retry. "
        f"Every call is now made {storm.amplification:.2g} times."
    ]
    error_type = storm.most("error_types")
    if error_type:
        said.append(f"The attempts mostly fail with {error_type}.")
    said.append(f"Of the attempts that ended in the last minute {share(storm.goodput)} completed.")
    if storm.trigger_is_gone:
        said.append(
            f"First attempts fail no more than usual ({share(storm.first_failure_share)}): what set "
            "the storm off is over, and it goes on by itself."
        )
    said += _spacing(storm.pattern)
    if cause is not None and cause[0] != storm.downstream:
        said.append(
            f"Of all that is called, {cause[0]} stands out most: its callers together are furthest "
            "above their usual retries."
        )
    said.append(f"Executions concerned: {named(storm.executions)}.")
    return " ".join(said)


def _spacing(pattern: RetryPattern) -> Iterator[str]:
    pauses = [format_duration(pause_s) for pause_s in pattern.medians_s.values()]
    words = ""
    if pattern.backoff is Backoff.FIXED:
        words = f"The pauses before retries do not grow (about {pauses[0]} each)"
    elif pattern.backoff in (Backoff.EXPONENTIAL, Backoff.GROWING):
        how = "exponentially" if pattern.backoff is Backoff.EXPONENTIAL else "slowly"
        words = f"The pauses before retries grow {how} (from about {pauses[0]} to {pauses[-1]})"
    elif pauses:
        words = f"The pause before a retry is about {pauses[0]}"
    if words:
        jitter = _JITTER.get(pattern.jitter)
        yield f"{words}, {jitter}." if jitter else f"{words}."
    if pattern.synchronised:
        yield "The retries come in step, many within the same quarter of a second."


def next_steps(storm: Storm, cause: tuple[str, float] | None) -> tuple[str, ...]:
    """What to look at first, then what to change in the retry policy."""
    pattern = storm.pattern
    what = cause[0] if cause is not None else storm.downstream
    steps = []
    if storm.trigger_is_gone:
        steps.append(
            "Let the retries of earlier calls drain: shed them, pause their workers or open a circuit "
            f"breaker for a moment. {what or 'What the step calls'} has nothing else that keeps it down."
        )
    else:
        steps.append(
            f"Look whether {what or 'what the step calls'} is overloaded or refuses: "
            "retries keep it down."
        )
    if pattern.backoff is Backoff.FIXED:
        steps.append("Let the pauses grow: exponential backoff, up to a maximum.")
    elif pattern.backoff is Backoff.GROWING:
        steps.append("Let the pauses grow faster: double each one, up to a maximum.")
    if pattern.synchronised or pattern.jitter in (Jitter.NONE, Jitter.WEAK):
        steps.append(
            "Add full jitter, so that calls which failed together do not come back together."
        )
    if pattern.backoff is Backoff.UNKNOWN and pattern.jitter is Jitter.UNKNOWN:
        steps.append(
            "If it does not recover, slow the retries: exponential backoff with full jitter, "
            "fewer attempts, or a circuit breaker."
        )
    else:
        steps.append("If it does not recover, allow fewer attempts, or use a circuit breaker.")
    return tuple(steps)
