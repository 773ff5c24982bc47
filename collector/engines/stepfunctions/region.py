"""One look at a region: its state machines, their definitions, executions and map runs."""

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from collector.engines.reading import Engine, Parts, Piece
from collector.engines.stepfunctions.aws import Api
from collector.engines.stepfunctions.aws_errors import Faulty, Forbidden, Gone
from collector.engines.stepfunctions.budget import Budget
from collector.engines.stepfunctions.defining import Definitions
from collector.engines.stepfunctions.histories import (
    is_end,
    last_id,
    map_runs_begun,
    new_events,
    page_document,
)
from collector.engines.stepfunctions.listing import WATCHED_MAX, Machines, list_executions
from collector.engines.stepfunctions.pieces import Pieces
from collector.engines.stepfunctions.watching import OVERLAP, Execution, Source, time_of, turns
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.model.events import EARLIEST

_REFUSED_FOR: Final = timedelta(minutes=1)
_FAULTS_MAX: Final = 3
log = logging.getLogger(__name__)


class Region:
    """What is known of one region, over many looks."""

    def __init__(self, api: Api, engine: Engine, config: StepFunctionsConfig) -> None:
        self.sources: dict[str, Source] = {}
        self._api = api
        self._config = config
        self._pieces = Pieces(engine, config.namespace)
        self._machines = Machines(config)
        self._definitions = Definitions()
        self._restored_at: datetime | None = None

    def restore(self, sources: Mapping[str, Source], at: datetime) -> None:
        """Go on where a mark of that time says that it was stopped."""
        self.sources = {
            arn: source for arn, source in sources.items() if arn.split(":")[3] == self._api.region
        }
        self._machines.looked_at = self._restored_at = at

    def oldest_look(self, now: datetime) -> datetime:
        """When that open execution was looked at that was not for the longest time."""
        looks = (
            execution.looked_at
            for source in self.sources.values()
            # What may not be seen any more must not hold up what may.
            if source.refused_at is None
            for execution in source.unfinished.values()
            if not execution.historical
        )
        return min((at for at in looks if at is not None), default=now)

    def look(self, now: datetime, calls_max: int) -> Iterator[Piece]:
        """What is new, with about so many calls: each kind of call has its share, histories what is left.

        Raises Transient, and Permanent. What is refused for one state machine alone is left out, and in the log.
        """
        budget = Budget(self._api.pace, calls_max)
        self._machines.refresh(self._api, self.sources, now)
        yield from self._definitions_changed(now, budget.part(0.2))
        self._list(now, budget.part(0.4))
        yield from self._map_runs(now, budget.part(0.1))
        yield from self._histories(now, budget.rest(0.3))
        yield from self._told(now)
        machines = [one for one in self.sources.values() if not one.is_map_run]
        refusals = [one.refusal for one in machines if one.refusal is not None]
        if refusals and len(refusals) == len(machines):
            raise refusals[-1]

    def _definitions_changed(self, now: datetime, budget: Budget) -> Iterator[Piece]:
        versions = {
            str(version)
            for source in self.sources.values()
            for execution in source.unfinished.values()
            if (version := execution.item.get("stateMachineVersionArn"))
        }
        for arn in self._definitions.due(self._machines.arns, versions, now):
            if budget.is_spent:
                return
            try:
                answer = self._api.call("describe_state_machine", stateMachineArn=arn)
            except (Forbidden, Gone) as error:
                log.warning("a definition cannot be read", extra={"reason": str(error)})
                answer = {}
            if self._definitions.is_new(arn, answer, now):
                yield from self._pieces.of(answer, now)

    def _list(self, now: datetime, budget: Budget) -> None:
        """The lists, the oldest first."""
        lookback = timedelta(seconds=self._config.lookback)
        for source in sorted(self.sources.values(), key=lambda one: one.looked_at or EARLIEST):
            if budget.is_spent:
                return
            if source.refused_at is not None and now - source.refused_at < _REFUSED_FOR:
                continue
            try:
                list_executions(self._api, source, now, lookback, self._room(source))
            except (Faulty, Forbidden, Gone) as error:
                _refuse(source, error, now)
            else:
                source.refused_at = source.refusal = None

    def _room(self, source: Source) -> int:
        """How many more executions of a source may be remembered."""
        room = WATCHED_MAX - sum(len(one.unfinished) for one in self.sources.values())
        if not source.is_map_run:
            return room
        children = sum(len(one.unfinished) for one in self.sources.values() if one.is_map_run)
        return min(room, WATCHED_MAX // 2 - children)

    def _map_runs(self, now: datetime, budget: Budget) -> Iterator[Piece]:
        """How far the map runs are, as long as they are open."""
        map_runs = [one for one in self.sources.values() if one.is_map_run]
        for source in sorted(map_runs, key=lambda one: one.described_at or EARLIEST):
            if budget.is_spent:
                return
            if source.is_done():
                del self.sources[source.arn]
            elif source.closed_at is None:
                yield from self._map_run(source, now)

    def _map_run(self, source: Source, now: datetime) -> Iterator[Piece]:
        source.described_at = now
        try:
            answer = self._api.call("describe_map_run", mapRunArn=source.arn)
        except (Forbidden, Gone) as error:
            # Its executions are listed once more, and what they do is seen without it.
            _refuse(source, error, now)
            source.closed_at = now
            return
        if answer != source.map_run:
            yield from self._pieces.of(answer, now, source.is_historical(answer))
            source.map_run = answer
        if answer["status"] != "RUNNING":
            source.closed_at = now

    def _histories(self, now: datetime, budget: Budget) -> Iterator[Piece]:
        owners = {arn: source for source in self.sources.values() for arn in source.unfinished}
        unfinished = [
            execution
            for source in self.sources.values()
            for execution in source.unfinished.values()
        ]
        faults = fetched = 0
        for execution in turns(unfinished):
            if budget.is_spent:
                return
            source = owners[execution.arn]
            if source.refused_at is not None:
                continue
            try:
                yield from self._history(source, execution, now)
                fetched += 1
            except Gone:
                source.finish(execution, now)
            except Forbidden as error:
                _refuse(source, error, now)
            except Faulty:
                # It may be this one history. If it is all of them, AWS has trouble.
                execution.looked_at = now
                faults += 1
                if faults >= _FAULTS_MAX and not fetched:
                    raise

    def _history(self, source: Source, execution: Execution, now: datetime) -> Iterator[Piece]:
        if "startDate" not in execution.item:
            # A mark named it, and no list shows it any more.
            execution.item = self._describe(execution)
            execution.historical = source.is_historical(execution.item)
        has_ended = False
        for events in new_events(self._api, execution, self._config.payloads):
            document = page_document(execution.item, events)
            yield from self._pieces.of(document, now, execution.historical)
            # The piece is stored: from here on it need not be fetched again.
            execution.seen = last_id(events)
            has_ended = is_end(events)
            self._note_map_runs(events, source, execution)
        execution.looked_at = now
        if not has_ended and _should_have_ended(execution, now):
            yield from self._pieces.of(self._describe(execution), now, execution.historical)
            has_ended = True
        if has_ended:
            source.finish(execution, now)
        elif execution.item["status"] == "RUNNING":
            execution.is_closed = False

    def _describe(self, execution: Execution) -> dict[str, Any]:
        included = "ALL_DATA" if self._config.payloads else "METADATA_ONLY"
        return self._api.call(
            "describe_execution", executionArn=execution.arn, includedData=included
        )

    def _note_map_runs(
        self, events: list[dict[str, Any]], source: Source, parent: Execution
    ) -> None:
        for arn, at in map_runs_begun(events):
            if arn in self.sources:
                self.sources[arn].closed_at = None
            elif self._restored_at is None or at > self._restored_at - OVERLAP:
                # Older ones, which the mark does not have, were done when it was made.
                self.sources[arn] = Source(arn, True, source.began, parent=parent.arn)

    def _told(self, now: datetime) -> Iterator[Piece]:
        """That those are open whose history has to wait for its turn."""
        waiting = [
            execution
            for source in self.sources.values()
            for execution in source.unfinished.values()
            if execution.looked_at is None
            and not execution.is_told
            and execution.item["status"] == "RUNNING"
            and "startDate" in execution.item
        ]
        parts = Parts()
        for execution in waiting:
            parts.fragments += self._pieces.parts(execution.item, now).fragments
        if parts.fragments:
            yield Piece(parts, self._config.namespace)
        for execution in waiting:
            execution.is_told = True


def _refuse(source: Source, error: Faulty | Forbidden | Gone, now: datetime) -> None:
    """Leave a source alone for a while; a map run whose executions cannot be listed is no news."""
    source.refused_at, source.refusal = now, error.with_traceback(None)
    level = logging.DEBUG if source.is_map_run else logging.WARNING
    log.log(
        level, "executions cannot be looked at", extra={"source": source.arn, "reason": str(error)}
    )


def _should_have_ended(execution: Execution, now: datetime) -> bool:
    """Whether the lists have said for long that it closed, while its history does not say how."""
    ended_at = time_of(execution.item, "stopDate")
    is_closed = execution.item["status"] != "RUNNING"
    return is_closed and (ended_at is None or now - ended_at >= OVERLAP)
