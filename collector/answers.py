"""HTTP answers: success and errors in the encoding of the request."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from google.protobuf.message import Message

from collector import openapi, otlp
from collector.asgi import Reply, reply
from collector.encodings import media_type
from collector.events import Answer, EventError
from collector.refusals import UNAUTHENTICATED, Refusal, Unsupported

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_STORED: Final = {True: reply(200, PROTOBUF, b""), False: reply(200, JSON, b"{}")}


def speaks_protobuf(content_type: str | None) -> bool:
    """In which encoding to answer, whatever else is wrong with the request."""
    return (content_type or "").partition(";")[0].strip().lower() == PROTOBUF


def is_json(content_type: str | None) -> bool:
    """Whether an OTLP body is JSON (else protobuf); raises Unsupported for anything else."""
    if content_type == PROTOBUF:
        return False
    media = media_type(content_type)
    if media not in (JSON, PROTOBUF):
        raise Unsupported(f"Content-Type: {media[:60]!r} is not OTLP; send {PROTOBUF} or {JSON}")
    return media == JSON


def exported(signal: otlp.Signal, checked: otlp.Checked, protobuf: bool) -> Reply:
    """The success of an Export call; an empty message says that all is stored."""
    if not checked.rejected:
        return _STORED[protobuf]
    return _message(200, signal.response(checked.rejected, checked.told), protobuf)


def refused(refusal: Refusal, protobuf: bool, **headers: str) -> Reply:
    """google.rpc.Status, with Retry-After where sending again makes sense."""
    if refusal.retry_after_s is not None:
        headers["retry_after"] = refusal.retry_after
    if refusal.code == UNAUTHENTICATED:
        headers["www_authenticate"] = 'Bearer realm="stallwatch"'
    if refusal.ends_connection:
        headers["connection"] = "close"
    return _message(refusal.http_status, otlp.status(refusal), protobuf, **headers)


def events(answer: Answer, status: int) -> Reply:
    """What became of the events of a body."""
    return reply(status, JSON, msgspec.json.encode(answer))


def told(status: int, body: Mapping[str, Any] | Answer) -> Reply:
    """What became of an engine's documents, or what the sender of their envelope expects."""
    return reply(status, JSON, msgspec.json.encode(body))


def events_unreadable(count: int, refusal: Refusal) -> Reply:
    """A body that is refused as a whole; one in which no event can be told from another counts as one."""
    return events(Answer(0, count, [EventError(0, refusal.message)]), refusal.http_status)


def health(healthy: bool) -> Reply:
    """Whether requests are taken and committed."""
    if healthy:
        return reply(200, JSON, b'{"status":"ok"}')
    return reply(503, JSON, b'{"status":"closing"}')


def described() -> Reply:
    """The OpenAPI document of this port."""
    return reply(200, JSON, msgspec.json.encode(openapi.document()))


def _message(status: int, body: Message, protobuf: bool, **headers: str) -> Reply:
    media = PROTOBUF if protobuf else JSON
    return reply(status, media, otlp.encode(body, is_json=not protobuf), **headers)
