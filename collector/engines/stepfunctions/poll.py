"""Asking AWS Step Functions: which executions there are, and what is new in their histories."""

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from collector.engines.reading import Engine, Parts, Piece, Poller
from collector.engines.stepfunctions.aws import Pace, apis
from collector.engines.stepfunctions.region import Region
from collector.engines.stepfunctions.watching import mark_of, read_mark, source_of
from stallwatch.clock import Clock, SystemClock
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.errors import Permanent, Transient

_CALLS_MIN: Final = 10
"""Calls of a look at a region, however slow the pace is."""


class StepFunctionsPoller(Poller):
    """Looks at regions one after the other.

    What was fetched is remembered in this object; a mark has what is needed to go on after a restart: which executions
    were not yet seen to their end. Those are then read again from their beginning, which changes nothing.
    """

    def __init__(
        self, engine: Engine, config: StepFunctionsConfig, clock: Clock | None = None
    ) -> None:
        """Raises ConfigError: no boto3, no region, no such profile."""
        clock = clock or SystemClock()
        self._closing = threading.Event()
        self._config = config
        pace = Pace(config.max_calls_per_s, clock, self._closing)
        self._apis = apis(config, pace)
        self._regions = [Region(api, engine, config) for api in self._apis]
        self._is_restored = False

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        """As Poller.poll. A region that cannot be asked does not keep the others from being asked."""
        self._restore(mark)
        calls_max = int(self._config.max_calls_per_s * self._config.every / len(self._regions))
        problems: list[Transient | Permanent] = []
        for region in self._regions:
            try:
                yield from region.look(now, max(calls_max, _CALLS_MIN))
            except (Transient, Permanent) as error:
                problems.append(error)
        sources = [source for region in self._regions for source in region.sources.values()]
        if sources:
            yield Piece(Parts(), self._config.namespace, mark_of(sources, now))
        if problems:
            raise problems[0]

    def close(self) -> None:
        """End a wait, and give back connections."""
        self._closing.set()
        for api in self._apis:
            api.close()

    def complete_since(self, began_at: datetime) -> datetime:
        return min([began_at, *(region.oldest_look(began_at) for region in self._regions)])

    def _restore(self, mark: str | None) -> None:
        if self._is_restored:
            return
        self._is_restored = True
        remembered = read_mark(mark)
        if remembered is None:
            return
        sources = {arn: source_of(arn, one) for arn, one in remembered.sources.items()}
        for region in self._regions:
            region.restore(sources, remembered.at)
