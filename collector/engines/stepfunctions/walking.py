"""The way through a history: each event from the place where the one before it left off."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from collector.engines.reading import Facts
from collector.engines.stepfunctions.attempts import Fact, Told, told_of
from collector.engines.stepfunctions.facts import ENDS
from collector.engines.stepfunctions.moves import MOVES
from collector.engines.stepfunctions.places import Place

_OPENING: Final = ("scheduled", "started", "waiting")
_A_MOMENT: Final = timedelta(microseconds=1)


class Happened(NamedTuple):
    """A step event in the making, when it was, and its id."""

    told: Told
    at: datetime
    event_id: str


class Walk:
    """Once through the events of an execution, by their ids. An event whose way from the root is not known is left out.

    What is told follows from the events on that way, and where it follows from none being there, from all events up to
    it: so it stays true whatever else becomes known.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._places = {0: Place()}
        self._times: dict[int, datetime] = {}
        self._open: dict[int, Told] = {}
        self.redriven_ends: list[tuple[int, int]] = []
        """Events that end an execution that was redriven before, and how often it was."""

    def __iter__(self) -> Iterator[Happened]:
        whole = 0
        for id in sorted(int(identity) for identity in self._facts if identity.isdigit()):
            fact = self._facts[str(id)]
            before = self._places.get(fact["previous"])
            if before is None:
                continue
            whole += whole == id - 1
            move = MOVES.get(fact["type"])
            after, told = move(before, id, fact) if move else (before, [])
            self._places[id] = after
            at = self._times[id] = datetime.fromisoformat(fact["at"])
            for one in told:
                event_id = f"{id}/{one.state.entered}" if one.beside else str(id)
                happened = Happened(
                    one, self._times.get(fact["previous"], at) if one.before else at, event_id
                )
                yield happened
                yield from self._left_behind(happened, id, whole == id)
            yield from self._beside(after, id, at, fact, told)
            if fact["type"] in ENDS and before.redrives:
                self.redriven_ends.append((id, before.redrives))

    def _left_behind(self, happened: Happened, id: int, is_whole: bool) -> Iterator[Happened]:
        """What is still open inside of a Parallel or Map when that ends is not told to have ended everywhere.

        AWS writes TaskStateAborted and WaitStateAborted; emulators do not, nor has a Pass or a Choice such an event.
        """
        told = happened.told
        if told.kind in _OPENING:
            self._open[told.state.entered] = told
            return
        self._open.pop(told.state.entered, None)
        if not (is_whole and told.state.is_container):
            return
        for entered, inside in list(self._open.items()):
            if told.state.entered in inside.around:
                del self._open[entered]
                cancelled = inside._replace(kind="cancelled", fields={})
                yield Happened(cancelled, happened.at, f"{id}/{entered}")

    def _beside(
        self, after: Place, id: int, at: datetime, fact: Fact, told: list[Told]
    ) -> Iterator[Happened]:
        if f"{id}/data" in self._facts and after.states:
            yield from self._data(told_of(after, -1, "scheduled"), id, at)
        if fact["type"] == "MapRunStarted" and told:
            yield from self._map_run(told[0], fact.get("mapRunArn", ""))

    def _data(self, scheduled: Told, id: int, at: datetime) -> Iterator[Happened]:
        """What only the payload said, as an event of its own: logs without payloads give all the others as well."""
        data = self._facts[f"{id}/data"]
        if "bytes" in data:
            state = scheduled.state._replace(attempt=1)
            fields = {"payload_bytes": data["bytes"]}
            yield Happened(scheduled._replace(state=state, fields=fields), at, f"{id}/data")
        elif scheduled.state.attempt:
            # A moment later than what names the service alone, so that it is the last word on the downstream.
            fields = {"downstream": data["downstream"]}
            yield Happened(scheduled._replace(fields=fields), at + _A_MOMENT, f"{id}/data")

    def _map_run(self, waiting: Told, arn: str) -> Iterator[Happened]:
        """How far a map run was whenever somebody asked: signs of life of the Map state."""
        for identity in sorted(one for one in self._facts if one.startswith("map_run/")):
            fact = self._facts[identity]
            if fact["arn"] == arn:
                counts = {name: str(n) for name, n in fact.items() if name not in ("arn", "at")}
                beat = waiting._replace(kind="heartbeat", fields={"attributes": counts})
                yield Happened(beat, datetime.fromisoformat(fact["at"]), identity)
