"""What the poller remembers: which executions were not yet seen to their end, and how far they were seen."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any, Final

import msgspec

from stallwatch.model.events import EARLIEST

OVERLAP: Final = timedelta(minutes=5)
"""Lists of executions are eventually consistent: what started just before the last look may appear after it."""
RUNNING_EVERY: Final = timedelta(minutes=1)
"""How often all that is open is listed at the least: a redrive opens one that was closed."""
FEW: Final = 10
"""So many open executions are all looked at anyway, which tells that they closed as well as a list does."""
NAMED_MAX: Final = 500
"""Executions that a mark names, of all state machines; others are found by their start."""


@dataclass(slots=True)
class Execution:
    """One that was not yet seen to its end. `item` is what a list or DescribeExecution said of it."""

    arn: str
    item: Mapping[str, Any]
    historical: bool = False
    is_closed: bool = False
    """It is no longer listed as running, so that its end can be fetched."""
    seen: int = 0
    """The id of the last event that was fetched; ids are dense, from 1."""
    looked_at: datetime | None = None
    is_told: bool = False
    """That it is open was handed over before its history."""

    @property
    def started_at(self) -> datetime:
        return time_of(self.item, "startDate") or EARLIEST


@dataclass(frozen=True, slots=True)
class Finished:
    """One that was seen to its end, for as long as lists may still show it."""

    at: datetime
    redrives: int
    seen: int


@dataclass(slots=True)
class Source:
    """A state machine, or the map run of a distributed Map: what executions are listed by."""

    arn: str
    is_map_run: bool
    began: datetime
    """When somebody looked first: what closed before that is history."""
    looked_at: datetime | None = None
    running_at: datetime | None = None
    refused_at: datetime | None = None
    refusal: Exception | None = None
    unfinished: dict[str, Execution] = field(default_factory=dict)
    finished: dict[str, Finished] = field(default_factory=dict)
    parent: str = ""
    """The execution that a map run belongs to."""
    map_run: Mapping[str, Any] = field(default_factory=dict)
    """What DescribeMapRun said last."""
    described_at: datetime | None = None
    closed_at: datetime | None = None
    """When the map run was first seen closed."""

    def floor(self, now: datetime, lookback: timedelta) -> datetime:
        """Executions that started before this need not be listed again."""
        if self.looked_at is not None:
            return self.looked_at - OVERLAP
        return EARLIEST if self.is_map_run else now - lookback

    def wants_running(self, now: datetime) -> bool:
        """Whether what is running is listed: it tells at once which of many have closed."""
        if self.running_at is None or now - self.running_at >= RUNNING_EVERY:
            return True
        return sum(not one.is_closed for one in self.unfinished.values()) > FEW

    def note(self, item: Mapping[str, Any]) -> bool:
        """Remember a listed execution if it has to be looked at; whether it is new."""
        if self.parent:
            item = {**item, "parentExecutionArn": self.parent}
        arn = str(item["executionArn"])
        known = self.unfinished.get(arn)
        if known is not None:
            known.item = item
            known.is_closed = item["status"] != "RUNNING"
            known.historical = self.is_historical(item)
            return False
        before = self.finished.get(arn)
        if before is not None and before.redrives >= redrives(item):
            return False
        self.unfinished[arn] = Execution(
            arn,
            item,
            self.is_historical(item),
            item["status"] != "RUNNING",
            before.seen if before else 0,
        )
        return True

    def knows(self, item: Mapping[str, Any]) -> bool:
        """Whether a listed execution is remembered."""
        arn = item["executionArn"]
        return arn in self.unfinished or arn in self.finished

    def finish(self, execution: Execution, now: datetime) -> None:
        """It was seen to its end, or is gone."""
        del self.unfinished[execution.arn]
        self.finished[execution.arn] = Finished(now, redrives(execution.item), execution.seen)

    def forget_finished(self, now: datetime) -> None:
        """Lists that begin at the floor no longer show what finished long enough ago."""
        before = now - 2 * OVERLAP
        self.finished = {arn: one for arn, one in self.finished.items() if one.at >= before}

    def is_done(self) -> bool:
        """Whether a map run was listed after its end, and all of its executions were seen to theirs."""
        asked_at = self.refused_at or self.looked_at
        return bool(
            self.closed_at and asked_at and asked_at > self.closed_at and not self.unfinished
        )

    def is_historical(self, item: Mapping[str, Any]) -> bool:
        """Whether it closed before anybody looked."""
        if item["status"] == "RUNNING":
            return False
        ended_at = time_of(item, "stopDate") or time_of(item, "startDate")
        return ended_at is not None and ended_at <= self.began


class SourceMark(msgspec.Struct, omit_defaults=True):
    """A source as a mark has it. `since`: the start of the oldest unfinished execution that is not named."""

    is_map_run: bool
    began: datetime
    looked_at: datetime | None = None
    unfinished: list[str] = []
    since: datetime | None = None
    parent: str = ""


class Mark(msgspec.Struct):
    """What is remembered over restarts. Sources by their ARN."""

    at: datetime
    sources: dict[str, SourceMark]


def mark_of(sources: Iterable[Source], now: datetime) -> str:
    """The mark that finds again what is not yet finished: the oldest by name, the others by their start."""
    room = NAMED_MAX
    marks: dict[str, SourceMark] = {}
    for source in sources:
        oldest = sorted(source.unfinished.values(), key=lambda one: one.started_at)
        named, others = oldest[:room], oldest[room:]
        room -= len(named)
        marks[source.arn] = SourceMark(
            source.is_map_run,
            source.began,
            source.looked_at,
            [one.arn for one in named],
            others[0].started_at if others else None,
            source.parent,
        )
    return msgspec.json.encode(Mark(now, marks)).decode()


def read_mark(text: str | None) -> Mark | None:
    """None where there is no mark, or one that nobody understands: then it is the first look."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=Mark)
    except msgspec.MsgspecError:
        return None


def source_of(arn: str, mark: SourceMark) -> Source:
    """A source as it was when the mark was made."""
    looked_at = mark.looked_at
    if looked_at is not None and mark.since is not None:
        looked_at = min(looked_at, mark.since)
    unknown = {"status": "RUNNING"}
    unfinished = {one: Execution(one, {**unknown, "executionArn": one}) for one in mark.unfinished}
    return Source(
        arn, mark.is_map_run, mark.began, looked_at, unfinished=unfinished, parent=mark.parent
    )


def turns(executions: Iterable[Execution]) -> Iterator[Execution]:
    """Who is looked at next: each kind has its turn, so that nobody starves.

    What was seen open and has closed, since it looks stuck until then; what nobody saw yet, the newest first; what is
    open, the longest unseen first; and history, the newest first.
    """
    ended, fresh, again, history = [], [], [], []
    for one in executions:
        if one.historical:
            history.append(one)
        elif one.is_closed and (one.looked_at or one.is_told):
            ended.append(one)
        elif one.looked_at is None:
            fresh.append(one)
        else:
            again.append(one)
    ended.sort(key=_started_at)
    fresh.sort(key=_started_at, reverse=True)
    again.sort(key=lambda one: one.looked_at or EARLIEST)
    history.sort(key=_started_at, reverse=True)
    left = len(ended) + len(fresh) + len(again) + len(history)
    for queue in cycle((iter(ended), iter(fresh), iter(again), iter(history))):
        if left == 0:
            return
        for one in islice(queue, 1):
            left -= 1
            yield one


def _started_at(execution: Execution) -> datetime:
    return execution.started_at


def redrives(item: Mapping[str, Any]) -> int:
    return int(item.get("redriveCount") or 0)


def time_of(item: Mapping[str, Any], key: str) -> datetime | None:
    text = item.get(key)
    return datetime.fromisoformat(text) if text else None
