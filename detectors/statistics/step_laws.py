"""How long steps take, to draw from: their attempts, how often these fail, and the pauses before the next."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from detectors.statistics.calibrator import tau
from detectors.statistics.samples import SHORTEST_S, Floats, sorted_durations

TAIL_SEEN: Final = 10
"""The longest so many durations are replaced by the tail's model."""
TAIL_MIN_N: Final = 100
TAIL_ALPHA_MIN: Final = 1e-6


class Attempt(NamedTuple):
    """One attempt of an execution that completed; seconds since the execution's start."""

    step: str
    branch: str
    step_run_id: str
    attempt: int
    succeeded: bool
    begin_s: float
    end_s: float


class Law:
    """Durations to draw from: the order statistics; with `beyond_seen` the tail's model instead of the longest ones,
    where it can be fitted. Its predictions are too long rather than too short."""

    def __init__(self, durations_s: Floats, beyond_seen: bool = False) -> None:
        """Raises ValueError without a duration, or for one that is not finite."""
        ascending = sorted_durations(durations_s)
        n = len(ascending)
        if n == 0:
            raise ValueError("there is nothing to draw from")
        survival = (n - np.arange(n) - 0.5) / n
        if beyond_seen and n >= TAIL_MIN_N and ascending[0] < ascending[-1]:
            beyond = TAIL_SEEN / n * np.array([1.0, 0.1, 0.01, 0.001])
            beyond = beyond[beyond >= TAIL_ALPHA_MIN]
            tail_s = np.array([tau(ascending, float(alpha)) for alpha in beyond])
            ascending = np.append(ascending[:-TAIL_SEEN], np.maximum.accumulate(tail_s))
            survival = np.append(survival[:-TAIL_SEEN], beyond)
        # Ascending in survival, as interpolation wants it.
        self._log_survival = np.log(survival[::-1])
        self._log_s = np.log(ascending[::-1])

    def draw(self, size: int, random: np.random.Generator) -> Floats:
        """Seconds, shape (size,). What was too short to be told from nothing is nothing.

        One from each of `size` equal parts of the law, in random order (a Latin hypercube; McKay, Beckman and Conover
        1979), so that the rare long ones come as often as they should.
        """
        survival = (random.permutation(size) + 1.0 - random.random(size)) / size
        drawn = np.exp(np.interp(np.log(survival), self._log_survival, self._log_s))
        return np.where(drawn > SHORTEST_S * (1 + 1e-9), drawn, 0.0)


@dataclass(frozen=True)
class StepLaw:
    """How long a step's completed and failed attempts take, the share that fails, the pauses before the next attempt,
    and how many attempts there are at most."""

    completed: Law
    failed: Law | None = None
    failing: float = 0.0
    pause: Law | None = None
    attempts_max: int = 1

    def draw(self, size: int, random: np.random.Generator) -> Floats:
        """Seconds from a step run's beginning to its success, retries included; shape (size,)."""
        total = self.completed.draw(size, random)
        retried = np.ones(size, dtype=bool)
        for _ in range(self.attempts_max - 1):
            retried &= random.random(size) < self.failing
            n = int(retried.sum())
            if not n:
                break
            total[retried] += (self.failed or self.completed).draw(n, random)
            if self.pause is not None:
                total[retried] += self.pause.draw(n, random)
        return total


def learn_laws(executions: Iterable[Sequence[Attempt]], beyond_seen: bool) -> dict[str, StepLaw]:
    """The laws of the steps of executions that completed. `beyond_seen`: as in `Law`."""
    completed: defaultdict[str, list[float]] = defaultdict(list)
    failed: defaultdict[str, list[float]] = defaultdict(list)
    pauses: defaultdict[str, list[float]] = defaultdict(list)
    most: defaultdict[str, int] = defaultdict(lambda: 1)
    for attempts in executions:
        calls: defaultdict[tuple[str, str, str], list[Attempt]] = defaultdict(list)
        for one in attempts:
            calls[one.step, one.branch, one.step_run_id].append(one)
        for (step, _, _), tries in calls.items():
            tries.sort(key=lambda one: (one.attempt, one.begin_s))
            for one, following in zip(tries, [*tries[1:], None], strict=True):
                took_s = one.end_s - one.begin_s
                if following is None:
                    # However it ended, the execution went on from there.
                    completed[step].append(took_s)
                else:
                    failed[step].append(took_s)
                    pauses[step].append(following.begin_s - one.end_s)
            most[step] = max(most[step], len(tries))
    return {
        step: StepLaw(
            completed=Law(np.array(seen), beyond_seen),
            failed=Law(np.array(failed[step]), beyond_seen) if failed[step] else None,
            failing=len(failed[step]) / (len(failed[step]) + len(seen)),
            pause=Law(np.array(pauses[step])) if pauses[step] else None,
            attempts_max=most[step],
        )
        for step, seen in completed.items()
    }
