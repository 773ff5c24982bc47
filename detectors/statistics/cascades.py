"""How long a step may take by what is declared of it: its attempts, and the pauses between them."""

from dataclasses import dataclass, fields
from typing import Final

RATE_POWER_MAX: Final = 64
PAUSE_MAX_S: Final = 1e9
ATTEMPTS_MAX: Final = 10_000
"""More than so many attempts are no limit but a way to say without end."""


@dataclass(frozen=True)
class StepLimits:
    """What is declared of a step; None: nothing. `max_attempts` 0: without end; durations in seconds."""

    timeout_s: float | None = None
    schedule_to_close_timeout_s: float | None = None
    max_attempts: int | None = None
    backoff_s: float | None = None
    backoff_rate: float | None = None
    backoff_max_s: float | None = None

    @property
    def attempts(self) -> int:
        """How many attempts are sure to be allowed: without a limit, one."""
        most = self.max_attempts or 1
        return most if most <= ATTEMPTS_MAX else 1

    @property
    def pauses_s(self) -> float:
        """The pauses between all attempts: first pause · rate^(k-1), each at most the maximum."""
        if not self.backoff_s:
            return 0.0
        rate = self.backoff_rate or 1.0
        most_s = self.backoff_max_s or PAUSE_MAX_S
        return sum(
            min(self.backoff_s * rate ** min(k, RATE_POWER_MAX), most_s)
            for k in range(self.attempts - 1)
        )

    @property
    def longest_s(self) -> float | None:
        """The longest that the step may take: attempts · timeout + Σ pauses, at most what is declared for all of them.
        None: it has no timeout."""
        whole_s = self.schedule_to_close_timeout_s or None
        if not self.timeout_s:
            return whole_s
        tries_s = self.attempts * self.timeout_s + self.pauses_s
        return tries_s if whole_s is None else min(tries_s, whole_s)

    @property
    def caller_s(self) -> float | None:
        """How long whoever is called by the step has at most: the shorter of what one attempt and all of them may
        take."""
        known = [one for one in (self.timeout_s, self.schedule_to_close_timeout_s) if one]
        return min(known, default=None)

    def over(self, other: "StepLimits") -> "StepLimits":
        """What this one says, and where it says nothing, what the other does."""
        names = [field.name for field in fields(self)]
        said = {name: getattr(self, name) for name in names}
        return StepLimits(
            **{n: getattr(other, n) if value is None else value for n, value in said.items()}
        )
