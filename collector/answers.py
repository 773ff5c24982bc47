"""HTTP answers: success and errors in the encoding of the request."""

import msgspec
from google.protobuf.message import Message
from starlette.responses import Response

from collector import otlp
from collector.encodings import media_type
from collector.events import Answer, EventError
from collector.refusals import Refusal, Unsupported

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def speaks_protobuf(content_type: str | None) -> bool:
    """In which encoding to answer, whatever else is wrong with the request."""
    return (content_type or "").partition(";")[0].strip().lower() == PROTOBUF


def is_json(content_type: str | None) -> bool:
    """Whether an OTLP body is JSON (else protobuf); raises Unsupported for anything else."""
    media = media_type(content_type)
    if media not in (JSON, PROTOBUF):
        raise Unsupported(f"Content-Type: {media[:60]!r} is not OTLP; send {PROTOBUF} or {JSON}")
    return media == JSON


def message(body: Message, protobuf: bool, status: int = 200) -> Response:
    """A protobuf message as the body."""
    return Response(
        otlp.encode(body, is_json=not protobuf), status, media_type=PROTOBUF if protobuf else JSON
    )


def refused(refusal: Refusal, protobuf: bool) -> Response:
    """google.rpc.Status, with Retry-After where sending again makes sense."""
    response = message(otlp.status(refusal), protobuf, refusal.http_status)
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = refusal.retry_after
    return response


def events(answer: Answer, status: int) -> Response:
    """What became of the events of a body."""
    return Response(msgspec.json.encode(answer), status, media_type=JSON)


def events_unreadable(count: int, refusal: Refusal) -> Response:
    """A body that is refused as a whole; one in which no event can be told from another counts as one."""
    return events(Answer(0, count, [EventError(0, refusal.message)]), refusal.http_status)


def plain(status: int, code: int, text: str, protobuf: bool) -> Response:
    """An error that no exception of ours stands for: unknown path, method not allowed."""
    return refused(Refusal(status, code, text), protobuf)
