"""Retry of an ASL state: rules for errors, the most general of which stands for all."""

from typing import Final, NamedTuple

import msgspec

from collector.engines.stepfunctions.asl_values import AslObject

_INTERVAL_S: Final = 1.0
_MAX_ATTEMPTS: Final = 3
_BACKOFF_RATE: Final = 2.0
"""What the Amazon States Language says where a rule says nothing."""
_GENERAL: Final = ("States.ALL", "States.TaskFailed")


class Retry(NamedTuple):
    """One rule. `attempts` are all, the first included: `MaxAttempts` counts retries."""

    errors: tuple[str, ...]
    attempts: int
    interval_s: float
    rate: float
    max_delay_s: float | None
    jitter: bool


def retries(state: AslObject) -> list[Retry]:
    """The rules of a state, in their order. Raises InputError."""
    return [_retry(rule) for rule in state.objects("Retry")]


def most_general(rules: list[Retry]) -> Retry | None:
    """The rule that most errors come to: for all, for all but a few, for the most named."""
    return max(rules, key=_reach, default=None)


def as_text(rules: list[Retry]) -> str:
    """All rules as JSON, the defaults filled in."""
    return msgspec.json.encode([rule._asdict() for rule in rules]).decode()


def _reach(rule: Retry) -> tuple[int, int]:
    for rank, name in enumerate(_GENERAL):
        if name in rule.errors:
            return len(_GENERAL) - rank, 0
    return 0, len(rule.errors)


def _retry(rule: AslObject) -> Retry:
    interval_s = rule.number("IntervalSeconds")
    rate = rule.number("BackoffRate")
    return Retry(
        errors=rule.texts("ErrorEquals"),
        attempts=rule.whole_number("MaxAttempts", _MAX_ATTEMPTS) + 1,
        interval_s=_INTERVAL_S if interval_s is None else interval_s,
        rate=_BACKOFF_RATE if rate is None else rate,
        max_delay_s=rule.number("MaxDelaySeconds"),
        jitter=rule.text("JitterStrategy") == "FULL",
    )
