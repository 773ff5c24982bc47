"""Plays events when their time comes, each on its workflow's road, until told to stop."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import httpx

from stallwatch.app.demo.roads import Road
from stallwatch.clock import Clock
from stallwatch.model.events import StepEvent

STEP_S: Final = 0.2
_log = logging.getLogger(__name__)


class Player:
    """A thread that tells what has happened since it last looked. `more` gives events once the script ends."""

    def __init__(
        self,
        clock: Clock,
        roads: dict[str, Road],
        script: Iterable[StepEvent],
        more: Callable[[datetime], list[StepEvent]],
    ) -> None:
        """`roads` by workflow; `script` sorted by time."""
        self._clock = clock
        self._roads = roads
        self._script = list(script)
        self._more = more
        self._told = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)

    @property
    def told(self) -> int:
        """How many events were told so far."""
        return self._told

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and flush the roads."""
        self._stopping.set()
        self._thread.join()
        for road in set(self._roads.values()):
            road.close()

    def _run(self) -> None:
        while not self._clock.wait(self._stopping, STEP_S):
            now = self._clock.now()
            due = []
            while self._script and self._script[0].time <= now:
                due.append(self._script.pop(0))
            if not self._script:
                self._script = self._more(now)
            self._tell(due)

    def _tell(self, events: list[StepEvent]) -> None:
        by_road: defaultdict[Road, list[StepEvent]] = defaultdict(list)
        for event in events:
            by_road[self._roads[event.workflow]].append(event)
        for road, some in by_road.items():
            try:
                road.tell(some)
                self._told += len(some)
            except httpx.HTTPError as error:
                _log.error("the shop could not report", extra={"reason": str(error)})
