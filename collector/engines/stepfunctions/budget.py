"""How many calls a look may take."""

from typing import Self

from collector.engines.stepfunctions.aws import Pace


class Budget:
    """Calls of one look, counted where they are made."""

    def __init__(self, pace: Pace, calls_max: int) -> None:
        self._pace = pace
        self._calls_max = calls_max
        self._until = pace.calls + calls_max

    @property
    def is_spent(self) -> bool:
        return self._pace.calls >= self._until

    def part(self, share: float) -> Self:
        """A share of the whole, from now on."""
        return type(self)(self._pace, max(1, int(self._calls_max * share)))

    def rest(self, share_min: float) -> Self:
        """What is left, and that share of the whole even if others took more than theirs."""
        left = self._until - self._pace.calls
        return type(self)(self._pace, max(left, 1, int(self._calls_max * share_min)))
