"""Asking a Temporal server: what is open, what it is doing, what closed.

A look, namespace by namespace:

1. list what is open; forget what no longer is;
2. describe some of it, as much as fits: what was never seen, what reports problems, what changed at its last look, and
   among them what was seen longest ago. What looks as it did before is not told again;
3. with what changed comes its history, as far as it is new: it joins spans and tells what was done in between;
4. list what closed since the mark, in steps; every history whole. The end of a step is the new mark.

What is remembered between looks only saves work: all of it can be lost.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
import xxhash
from google.protobuf.json_format import MessageToDict
from temporalio.api.enums.v1 import PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse

from collector.engines.reading import Fragment, Hints, Parts, Piece, Poller
from collector.engines.temporal.client import Execution, Frontend, time_in_query
from collector.engines.temporal.documents import take_apart
from collector.engines.temporal.live import UNTAKEN
from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.errors import InputError, Permanent

PIECE: Final = 200
"""Executions that are told, and stored, at once."""
PIECE_EVENTS: Final = 20_000
OVERLAP: Final = timedelta(minutes=2)
"""How late an execution that closed may turn up in the visibility store."""
STEP: Final = 5_000
"""Executions that closed in one step of catching up, or in a second."""
OPEN_MAX: Final = 200_000
EVENTS_MAX: Final = 5_000
"""Of a longer history of an open execution, so much from its end."""
CLOSED_EVENTS_MAX: Final = 60_000
_REMEMBERED: Final = 50_000
_OPEN: Final = 'ExecutionStatus = "Running"'
_TROUBLED: Final = f"{_OPEN} AND TemporalReportedProblems IS NOT NULL"
_T = TypeVar("_T")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """What is remembered of an open execution."""

    looked: int = 0
    """Number of the look; 0: never."""
    looked_at: datetime | None = None
    digest: int = 0
    changed: bool = False
    events: int = 0
    """Its events up to this number were told."""


class TemporalPoller(Poller):
    """One for a process. It connects at the first look."""

    def __init__(self, config: TemporalConfig) -> None:
        """Raises ConfigError."""
        self._config = config
        self._frontend = Frontend(config)
        self._runner = asyncio.Runner()
        self._namespaces = {name: _Namespace() for name in config.namespaces}

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        self._run(self._frontend.connect())
        marks = _marks(mark)
        for name, known in self._namespaces.items():
            yield from self._open(name, known, now)
            yield from self._closed(name, known, marks, now)

    def complete_since(self, began_at: datetime) -> datetime:
        looks = (
            seen.looked_at for known in self._namespaces.values() for seen in known.seen.values()
        )
        return min((at for at in looks if at is not None), default=began_at)

    def close(self) -> None:
        self._runner.close()

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    def _open(self, name: str, known: "_Namespace", now: datetime) -> Iterator[Piece]:
        is_open, troubled = self._run(self._list_open(name, known))
        known.begin_look(is_open)
        chosen = known.choose(self._config.describe_max, troubled)
        histories = self._config.history_max
        loop = self._runner.get_loop()
        until_s = loop.time() + self._config.every
        for batch in _batches(chosen, PIECE):
            if loop.time() > until_s:
                # A slow server sees no more of us than one look at a time; the rest is seen at the next.
                return
            looks = self._run(self._look(name, known, batch, now, histories))
            histories -= sum(look.history is not None for look in looks)
            told = Parts()
            for look in looks:
                told.fragments += _fragments(look.documents(), name, now)
            if told.fragments:
                yield Piece(told, name)
            # Here what was told is stored; had it failed, it would be told again.
            for look in looks:
                look.remember(known)

    async def _list_open(
        self, name: str, known: "_Namespace"
    ) -> tuple[list[Execution], set[Execution]]:
        is_open = [
            execution async for execution, _ in self._frontend.executions(name, _OPEN, OPEN_MAX)
        ]
        troubled: set[Execution] = set()
        if known.reports_problems:
            try:
                async for execution, _ in self._frontend.executions(name, _TROUBLED, PIECE):
                    troubled.add(execution)
            except Permanent:
                # Servers before 1.29 do not know this search attribute.
                known.reports_problems = False
        return is_open, troubled

    async def _look(
        self,
        name: str,
        known: "_Namespace",
        batch: Sequence[Execution],
        now: datetime,
        histories: int,
    ) -> list["_Look"]:
        async def describe(execution: Execution) -> "_Look | None":
            answer = await self._frontend.describe(name, execution)
            # What has closed meanwhile comes with its history.
            is_open = answer is not None and not answer.workflow_execution_info.HasField(
                "close_time"
            )
            if answer is None or not is_open:
                return None
            return _Look(execution, answer, known.seen[execution], known.look, now)

        async def fetch(look: "_Look") -> None:
            look.history = await self._frontend.history(
                name, look.execution, look.seen.events, look.length, EVENTS_MAX, look.activities
            )

        described = await self._frontend.each(batch, describe)
        looks = [look for look in described if look is not None]
        behind = [look for look in looks if look.length > look.seen.events]
        behind.sort(key=lambda look: not look.activities)
        # What does not fit comes with the next look.
        for some in islice(_bounded(behind[: max(0, histories)], _Look.behind), 1):
            await self._frontend.each(some, fetch)
        return looks

    def _closed(
        self, name: str, known: "_Namespace", marks: dict[str, str], now: datetime
    ) -> Iterator[Piece]:
        is_first = name not in marks
        since = (
            now - timedelta(seconds=self._config.lookback)
            if is_first
            else datetime.fromisoformat(marks[name]) - OVERLAP
        )
        while since < now:
            closed, until = self._run(self._list_closed(name, since, now))
            fresh = [found for found in closed if found[0] not in known.closed]
            for some in _bounded(fresh, lambda found: found[1]):
                batch = [execution for execution, _ in some]
                yield from self._tell_closed(name, batch, now, is_first)
                known.remember_closed(batch)
            marks[name] = max(marks.get(name, ""), until.astimezone(UTC).isoformat())
            yield Piece(Parts(), name, msgspec.json.encode(marks).decode(), is_first)
            since = until

    async def _list_closed(
        self, name: str, since: datetime, until: datetime
    ) -> tuple[list[tuple[Execution, int]], datetime]:
        """What closed from `since` on until a time that is near enough for it not to be too much, and that time."""
        while True:
            query = f"CloseTime >= {time_in_query(since)} AND CloseTime <= {time_in_query(until)}"
            is_short = until - since <= timedelta(seconds=1)
            most = OPEN_MAX if is_short else STEP
            closed = [found async for found in self._frontend.executions(name, query, most)]
            if is_short or len(closed) < STEP:
                return closed, until
            # Lists begin with what closed last, and catching up begins with what closed first.
            until = since + (until - since) / 2

    def _tell_closed(
        self, name: str, batch: Sequence[Execution], now: datetime, is_first: bool
    ) -> Iterator[Piece]:
        async def fetch(execution: Execution) -> dict[str, Any] | None:
            return await self._frontend.history(name, execution, 0, 0, CLOSED_EVENTS_MAX)

        told = Parts()
        for history in self._run(self._frontend.each(batch, fetch)):
            if history is not None:
                told.fragments += _fragments([history], name, now)
        yield Piece(told, name, None, is_first)


class _Namespace:
    """What is remembered of one namespace."""

    def __init__(self) -> None:
        self.seen: dict[Execution, _Seen] = {}
        self.closed: dict[Execution, None] = {}
        self.look = 0
        self.reports_problems = True

    def begin_look(self, is_open: Sequence[Execution]) -> None:
        self.look += 1
        self.seen = {execution: self.seen.get(execution) or _Seen() for execution in is_open}

    def choose(self, most: int, troubled: set[Execution]) -> list[Execution]:
        """Which to describe, in this order: three that are urgent, one that waits longest to be seen, and so on."""

        def urgency(execution: Execution) -> tuple[int, int]:
            seen = self.seen[execution]
            if not seen.looked or execution in troubled:
                return 0, seen.looked
            return (1 if seen.changed else 2), seen.looked

        urgent = iter(sorted(self.seen, key=urgency))
        oldest = iter(sorted(self.seen, key=lambda execution: self.seen[execution].looked))
        chosen: dict[Execution, None] = {}
        while len(chosen) < min(most, len(self.seen)):
            chosen.update(dict.fromkeys(islice(urgent, 3)))
            chosen.update(dict.fromkeys(islice(oldest, 1)))
        return list(islice(chosen, most))

    def remember_closed(self, batch: Sequence[Execution]) -> None:
        self.closed.update(dict.fromkeys(batch))
        for execution in list(islice(self.closed, max(0, len(self.closed) - _REMEMBERED))):
            del self.closed[execution]


class _Look:
    """One execution, described; its history behind what is known, if it was fetched."""

    def __init__(
        self,
        execution: Execution,
        answer: DescribeWorkflowExecutionResponse,
        seen: _Seen,
        number: int,
        now: datetime,
    ) -> None:
        self.execution = execution
        self.seen = seen
        self.history: dict[str, Any] | None = None
        self.length = int(answer.workflow_execution_info.history_length)
        self.activities = {activity.activity_id for activity in answer.pending_activities}
        self._answer = answer
        self._number = number
        self._now = now
        self._digest = _digest(answer, now)
        self.is_new = self._digest != seen.digest

    def behind(self) -> int:
        """How many events are still to be fetched."""
        return min(EVENTS_MAX, self.length - self.seen.events)

    def documents(self) -> Iterator[dict[str, Any]]:
        if self.is_new:
            yield MessageToDict(self._answer)
        if self.history is not None:
            yield self.history

    def remember(self, known: _Namespace) -> None:
        self.seen.changed = self.is_new and self.seen.looked > 0
        self.seen.looked, self.seen.looked_at = self._number, self._now
        self.seen.digest = self._digest
        if self.history is not None:
            self.seen.events = max(self.seen.events, self.length)


def _digest(answer: DescribeWorkflowExecutionResponse, now: datetime) -> int:
    """Of all that was said, and of whether a workflow task has waited for a worker too long by now."""
    task = answer.pending_workflow_task
    is_waiting = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_SCHEDULED
    is_late = is_waiting and task.scheduled_time.ToDatetime(UTC) + UNTAKEN <= now
    said = answer.SerializeToString(deterministic=True)
    return xxhash.xxh3_64_intdigest(said + (b"late" if is_late else b""))


def _fragments(
    documents: Iterable[dict[str, Any]], namespace: str, now: datetime
) -> Iterator[Fragment]:
    hints = Hints(now, namespace)
    for document in documents:
        try:
            yield from take_apart(document, hints).fragments
        except InputError as error:
            # It would be the same at every look, and keep the others from being seen.
            log.warning("what Temporal says is not understood", extra={"reason": str(error)})


def _marks(mark: str | None) -> dict[str, str]:
    return {} if mark is None else msgspec.json.decode(mark, type=dict[str, str])


def _batches(executions: Sequence[Execution], size: int) -> Iterator[Sequence[Execution]]:
    for start in range(0, len(executions), size):
        yield executions[start : start + size]


def _bounded(found: Sequence[_T], events: Callable[[_T], int]) -> Iterator[list[_T]]:
    """In batches of at most PIECE, which have about PIECE_EVENTS events at most."""
    batch: list[_T] = []
    total = 0
    for one in found:
        if batch and (len(batch) == PIECE or total + events(one) > PIECE_EVENTS):
            yield batch
            batch, total = [], 0
        batch.append(one)
        total += events(one)
    if batch:
        yield batch
