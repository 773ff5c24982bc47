"""What AWS pushes, out of its envelopes: Firehose deliveries and CloudWatch Logs subscriptions.

EventBridge events come without an envelope. What is wrong inside of an envelope becomes a document of its own that is
refused: its sender would send the whole envelope again, for something that will never be understood.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any, Final

from collector.encodings import inflate
from collector.engines.reading import Delivery
from collector.engines.stepfunctions.values import Fields
from collector.json_text import OBJECTS_MAX, decode_any
from collector.refusals import TooLarge
from stallwatch.errors import InputError

INFLATED_MAX: Final = 64 * 1024 * 1024
"""Of all records of a delivery together. A record of Firehose has at most 1,000 KiB before it is inflated."""
_OBJECTS_MAX: Final = 2 * OBJECTS_MAX
_GZIP: Final = b"\x1f\x8b"


class Broken:
    """Something inside of an envelope that cannot be read, and why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _Budget:
    """What all records of a delivery together may still become: bytes, and objects in memory."""

    def __init__(self) -> None:
        self._bytes = INFLATED_MAX
        self._objects = _OBJECTS_MAX

    def inflate(self, data: bytes) -> bytes:
        """Raises TooLarge when nothing is left, InputError if it cannot be inflated."""
        out = inflate(data, "gzip" if data[:2] == _GZIP else None, self._bytes)
        self._bytes -= len(out)
        # Those inside of messages, which are texts of JSON, are counted with them.
        self._objects -= out.count(b"{") + out.count(b"[")
        if self._objects < 0:
            raise TooLarge(f"more than {_OBJECTS_MAX} objects and arrays in a delivery")
        return out


def delivery(document: Any) -> Delivery | None:
    """The documents in a delivery, and what Firehose wants to hear; None if this is no envelope.

    Raises InputError if the envelope itself is wrong, and TooLarge if it inflates to too much.
    """
    if not isinstance(document, dict):
        return None
    if "records" in document and "requestId" in document:
        return _firehose(Fields(document))
    if "awslogs" in document:
        encoded = Fields(document).object("awslogs").text("data", required=True)
        return Delivery(list(_packed(encoded, "awslogs.data", _Budget())), {})
    if "logEvents" in document or document.get("messageType") == "CONTROL_MESSAGE":
        return Delivery(list(_log_events(document)), {})
    return None


def _firehose(said: Fields) -> Delivery:
    """https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html.

    The answer repeats the request's id; its timestamp is the request's, in milliseconds.
    """
    request = said.text("requestId", required=True)
    timestamp = said.number("timestamp")
    if timestamp is None:
        raise said.wrong("timestamp", "is required")
    records = said.value["records"]
    if not isinstance(records, list):
        raise said.wrong("records", "must be an array")
    budget = _Budget()
    documents: list[Any] = []
    for index, record in enumerate(records):
        where = f"records[{index}]"
        try:
            data = Fields(record, where).text("data", required=True)
        except InputError as error:
            documents.append(Broken(str(error)))
        else:
            documents += _packed(data, f"{where}.data", budget)
    return Delivery(documents, {"requestId": request, "timestamp": timestamp})


def _packed(encoded: str, where: str, budget: _Budget) -> Iterator[Any]:
    """The documents in base64 of JSON or JSON lines, plain or gzip."""
    try:
        body = budget.inflate(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        yield Broken(f"{where}: is not base64")
        return
    except TooLarge:
        raise
    except InputError as error:
        yield Broken(f"{where}: {error}")
        return
    for text in _texts(body):
        try:
            document = decode_any(text)
        except InputError as error:
            yield Broken(f"{where}: {error}")
            continue
        if isinstance(document, dict) and "messageType" in document:
            yield from _log_events(document)
        else:
            yield document


def _texts(body: bytes) -> list[bytes]:
    """One value, or one a line where every line is a whole one."""
    lines = [line for line in body.splitlines() if line.strip()]
    is_lines = len(lines) > 1 and all(line.rstrip()[-1:] in b"}]" for line in lines)
    return lines if is_lines and lines[0].lstrip()[:1] == b"{" else [body]


def _log_events(document: dict[str, Any]) -> Iterator[Any]:
    """The messages of a subscription's payload.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html; a CONTROL_MESSAGE only asks
    whether anybody is there.
    """
    if document.get("messageType", "DATA_MESSAGE") != "DATA_MESSAGE":
        return
    events = document.get("logEvents")
    if not isinstance(events, list):
        yield Broken("logEvents: must be an array")
        return
    for index, event in enumerate(events):
        where = f"logEvents[{index}]"
        try:
            message = Fields(event, where).text("message", required=True)
            yield decode_any(message.encode(errors="surrogatepass"))
        except InputError as error:
            yield Broken(str(error) if where in str(error) else f"{where}.message: {error}")
