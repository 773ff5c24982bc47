"""Looking at Durable again and again. Steps of a look:

1. list what is open, and what closed since the mark; what was open before and is not now has closed too;
2. leave out what has not changed since its history was read;
3. of the rest, read as many histories as a look may: what is open and was not read for the longest first, and at least
   half of them of what closed, the oldest first;
4. the mark moves up to where nothing is left out.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Final, NamedTuple

import msgspec

from collector.engines.durable.instances import is_entity
from collector.engines.durable.source import Source
from collector.engines.durable.status import Status
from collector.engines.reading import Parts, Piece, Poller

OVERLAP: Final = timedelta(seconds=60)
"""How far behind the mark is looked again: the engine's clock is not ours."""
_SETTLED: Final = timedelta(seconds=10)
"""The HTTP API tells times of changes to the second; what changed so shortly before it was read is read again."""
_PIECE: Final = 50
_REMEMBERED_MAX: Final = 200_000
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
log = logging.getLogger(__name__)


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far everything was read."""

    since: datetime
    """All that closed before was read."""
    first: datetime
    """When it was looked for the first time: what closed before is history."""
    oldest: datetime | None = None
    """When the oldest instance was made that was open then."""


class _Read(NamedTuple):
    """When a history was read, and what the status then said about its last change."""

    at: datetime
    updated: datetime | None


class DurablePoller(Poller):
    """One source. What was read is remembered in this process; a new one reads what is open once more."""

    def __init__(
        self, source: Source, namespace: str, lookback_s: float, max_open: int, max_histories: int, parallel: int
    ) -> None:  # fmt: skip
        self._source = source
        self._namespace = namespace
        self._lookback = timedelta(seconds=lookback_s)
        self._max_open = max_open
        self._max_histories = max_histories
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="durable")
        self._read: dict[str, _Read] = {}
        self._was_open: dict[str, Status] = {}
        self._left: dict[str, Status] = {}
        """What had closed and did not fit into the last look."""
        self._overflow = False
        self._complete_since = datetime.max.replace(tzinfo=UTC)

    def poll(self, mark: str | None, now: datetime) -> Iterator[Piece]:
        known = None if mark is None else msgspec.json.decode(mark, type=Mark)
        opened = self._list_open(now)
        closed = self._list_closed(known, opened, now)
        changed = [status for status in opened.values() if self._is_news(status)]
        changed.sort(key=lambda status: self._read.get(status.instance, _Read(_NEVER, None)).at)
        half = self._max_histories // 2
        of_open = changed[: max(half, self._max_histories - len(closed))]
        of_closed = closed[: self._max_histories - len(of_open)]
        unread = (self._read.get(status.instance) for status in changed[len(of_open) :])
        self._complete_since = min((read.at for read in unread if read is not None), default=now)
        yield from self._pieces(of_open, now, historical=False)
        first = now if known is None else known.first
        old = [status for status in of_closed if self._is_old(status, first)]
        yield from self._pieces(old, now, historical=True)
        news = [status for status in of_closed if not self._is_old(status, first)]
        yield from self._pieces(news, now, historical=False)
        left = closed[len(of_closed) :]
        since = min((status.updated or now for status in left), default=now)
        waiting = [*opened.values(), *left]
        oldest = min((status.created for status in waiting if status.created), default=None)
        self._was_open, self._left = opened, {status.instance: status for status in left}
        self._forget()
        new = Mark(min(since, now), first, oldest)
        yield Piece(Parts(), self._namespace, mark=msgspec.json.encode(new).decode())

    def complete_since(self, began_at: datetime) -> datetime:
        return min(began_at, self._complete_since)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._source.close()

    def _list_open(self, now: datetime) -> dict[str, Status]:
        found: dict[str, Status] = {}
        for status in self._source.open(now):
            if len(found) >= self._max_open:
                if not self._overflow:
                    log.warning(
                        "more orchestrations are open than are followed",
                        extra={"engine": "durable", "max_open": self._max_open},
                    )
                self._overflow = True
                return found
            if not is_entity(status.instance):
                found[status.instance] = status
        self._overflow = False
        return found

    def _list_closed(
        self, mark: Mark | None, opened: dict[str, Status], now: datetime
    ) -> list[Status]:
        since = now - self._lookback if mark is None else mark.since - OVERLAP
        made = since
        if mark is not None and not self._was_open and mark.oldest is not None:
            # This process does not know what was open when the last one looked: whatever is as old may have closed.
            made = min(since, mark.oldest - OVERLAP)
        known = self._was_open | self._left
        # It closed since the last look, whenever it had changed before.
        latest = since if mark is None else mark.since
        gone = {
            name: status._replace(updated=max(status.updated or latest, latest))
            for name, status in known.items()
            if name not in opened
        }
        listed = {
            status.instance: status
            for status in self._source.closed(since, made, now)
            if status.instance not in opened
            and not is_entity(status.instance)
            and (status.updated is None or status.updated >= since)
        }
        found = [
            status
            for status in (gone | listed).values()
            if self._is_news(status) or status.instance in gone
        ]
        return sorted(found, key=lambda status: status.updated or now)

    def _is_old(self, status: Status, first: datetime) -> bool:
        """Whether it closed before anybody looked."""
        was_seen = status.instance in self._was_open
        return not was_seen and status.updated is not None and status.updated < first

    def _is_news(self, status: Status) -> bool:
        read = self._read.get(status.instance)
        if read is None or status.updated is None or read.updated != status.updated:
            return True
        return read.at < status.updated + _SETTLED

    def _pieces(
        self, statuses: Sequence[Status], now: datetime, historical: bool
    ) -> Iterator[Piece]:
        for start in range(0, len(statuses), _PIECE):
            some = statuses[start : start + _PIECE]
            names = [status.instance for status in some]
            looks = list(self._threads.map(self._source.look, names, repeat(now)))
            fragments = [look.fragment for look in looks if look is not None]
            yield Piece(Parts(fragments), self._namespace, historical=historical)
            # Only now is it stored.
            for status, look in zip(some, looks, strict=True):
                updated = status.updated if look is None else look.status.updated
                self._read[status.instance] = _Read(now, updated)

    def _forget(self) -> None:
        """What is closed and read long ago is not needed: the list of what closed does not have it any more."""
        if len(self._read) > _REMEMBERED_MAX:
            oldest = sorted(self._read, key=lambda name: self._read[name].at)
            for name in oldest[: len(self._read) - _REMEMBERED_MAX // 2]:
                if name not in self._was_open:
                    del self._read[name]
