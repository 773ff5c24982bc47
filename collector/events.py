"""`/v1/events` bodies: one event, an array, a line each, or CloudEvents. A bad event never spoils its neighbours."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from collector import cloudevents
from collector.encodings import BOM
from collector.json_text import decode, decode_any, is_deeper
from collector.limits import Accept, as_it_is
from collector.refusals import TooLarge, Unsupported
from stallwatch.errors import InputError
from stallwatch.model.events import StepEvent, event_from_dict
from stallwatch.model.plain_text import json_type

ERRORS_MAX: Final = 100
"""How many rejections are told one by one; `rejected` counts all."""
EVENTS_MAX: Final = 50_000
"""In one body: decoded events take many times the memory of their text."""
_COMMAS_MAX: Final = 2_000_000
_DEPTH_MAX: Final = 32
_LINES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
_JSON: Final = frozenset({"", "application/json", "text/json"})
_CLOUD: Final = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json"})


class EventError(msgspec.Struct, frozen=True):
    """Why one event of a body was rejected; `index` counts from 0."""

    index: int
    message: str


@dataclass(slots=True)
class Parsed:
    """What a body held."""

    events: list[StepEvent] = field(default_factory=list)
    accepted: int = 0
    rejected: int = 0
    errors: list[EventError] = field(default_factory=list)

    def reject(self, index: int, message: str) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(EventError(index, message[:500]))


class Answer(msgspec.Struct, frozen=True):
    """The body of every answer to `/v1/events` that says what became of the events."""

    accepted: int
    rejected: int
    errors: list[EventError] = []


def parse_events(
    body: bytes,
    media: str,
    received_at: datetime,
    namespace: str = "default",
    headers: Mapping[str, str] | None = None,
    accept: Accept = as_it_is,
) -> Parsed:
    """Read a body. Of a key that is there twice the last value counts.

    `media` is the bare content type, `headers` (lower case) are for CloudEvents in binary mode,
    `accept` has the last word on each event (see `Limits.of`).

    Raises InputError if the body as a whole cannot be read, TooLarge, Unsupported.
    """
    parsed = Parsed()
    binary = cloudevents.from_headers(headers or {}, body) if media not in _CLOUD else None
    for index, document in documents_in(body, media) if binary is None else [(0, lambda: binary)]:
        try:
            event = read_event(document(), received_at, namespace, must_be_cloud=media in _CLOUD)
            if event is not None:
                event = accept(event)
        except InputError as error:
            parsed.reject(index, str(error))
        else:
            parsed.accepted += 1
            if event is not None:
                parsed.events.append(event)
    return parsed


def documents_in(body: bytes, media: str) -> Iterator[tuple[int, Callable[[], Any]]]:
    """The JSON documents of a body, each with its index and what decodes it: one, an array, or one a line.

    Raises InputError if the body as a whole cannot be read, TooLarge, Unsupported.
    """
    if not body.strip():
        raise InputError("the body is empty")
    if media in _LINES:
        return _lines(body.removeprefix(BOM))
    if media in _JSON or media in _CLOUD:
        return _documents(body.removeprefix(BOM))
    raise Unsupported(
        f"Content-Type: {media[:60]!r} is not read; send application/json, application/x-ndjson or "
        "application/cloudevents+json"
    )


def read_event(
    data: object, received_at: datetime, namespace: str = "default", must_be_cloud: bool = False
) -> StepEvent | None:
    """One decoded event, or None if it is understood and there is nothing to store. Raises InputError."""
    if is_deeper(data, _DEPTH_MAX):
        raise InputError(f"nested more than {_DEPTH_MAX} levels deep")
    if must_be_cloud or cloudevents.is_cloud_event(data):
        if not isinstance(data, dict):
            raise InputError(f"a CloudEvent is an object, not {json_type(data)}")
        data = cloudevents.step_event(data)
        if data is None:
            return None
    try:
        return event_from_dict(data, received_at, namespace)
    except OverflowError:
        raise InputError("a number or a time is out of range") from None


def _lines(body: bytes) -> Iterator[tuple[int, Callable[[], Any]]]:
    """One document a line; empty lines do not count."""
    if body.count(b"\n") > EVENTS_MAX:
        raise TooLarge(f"more than {EVENTS_MAX} lines: split the body")
    lines = (line for line in body.split(b"\n") if line.strip())
    return ((index, _decoder(line)) for index, line in enumerate(lines))


def _documents(body: bytes) -> Iterator[tuple[int, Callable[[], Any]]]:
    """The elements of an array, or one object, or (sent under the name of JSON) one object a line."""
    start = body.lstrip()[:1]
    if start == b"[":
        if body.count(b",") > _COMMAS_MAX:
            raise TooLarge(f"more than {EVENTS_MAX} events: split the body")
        elements = decode(body, list[msgspec.Raw])
        if len(elements) > EVENTS_MAX:
            raise TooLarge(f"more than {EVENTS_MAX} events: split the body")
        return ((index, _decoder(memoryview(raw))) for index, raw in enumerate(elements))
    try:
        single = decode_any(body)
    except InputError:
        if (
            start == b"{"
            and body.count(b"}\n") + body.count(b"}\r\n") > 0
            and _first_line_is_whole(body)
        ):
            return _lines(body)
        raise
    return iter([(0, lambda: single)])


def _first_line_is_whole(body: bytes) -> bool:
    try:
        decode_any(body.lstrip().partition(b"\n")[0])
    except InputError:
        return False
    return True


def _decoder(text: bytes | memoryview) -> Callable[[], Any]:
    return lambda: decode_any(text)
