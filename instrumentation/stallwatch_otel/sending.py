"""How log records leave the process: a small OTLP/HTTP sender of our own, or the user's LoggerProvider."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from http.client import HTTPException
from typing import IO, Any, Final, Protocol

from opentelemetry._logs import LoggerProvider, LogRecord, SeverityNumber
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from stallwatch_otel.destination import Destination
from stallwatch_otel.records import SCOPE, Record, as_json

_ANSWER_BYTES_MAX: Final = 64 * 1024
_GZIP_ABOVE_BYTES: Final = 4096
_FOR_A_FEW: Final = frozenset({400, 413})
"""Statuses for which one record among many may be the reason, or that they are many."""
_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed. OTLP names 429, 502, 503 and 504; a proxy says the others."""


class NotSentError(Exception):
    """The records may be sent again, `retry_after_s` from now if the receiver said so."""

    def __init__(self, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class RefusedError(Exception):
    """Sending the same records again would be refused again; fewer of them perhaps not, if `may_be_few`."""

    def __init__(self, why: str, may_be_few: bool = False) -> None:
        super().__init__(why)
        self.may_be_few = may_be_few


class Sender(Protocol):
    """Takes records away."""

    def send(self, records: Sequence[Record], timeout_s: float) -> int:
        """How many records the receiver says it will not keep. Raises NotSentError or RefusedError."""
        ...


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to a host that nobody named."""

    def redirect_request(
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


class HttpSender:
    """OTLP/HTTP in JSON, one request at a time."""

    def __init__(self, destination: Destination, version: str) -> None:
        self._destination = destination
        self._version = version
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if destination.tls is not None:
            handlers.append(urllib.request.HTTPSHandler(context=destination.tls))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, records: Sequence[Record], timeout_s: float) -> int:
        try:
            with self._opener.open(self._request(records), timeout=timeout_s) as answer:
                return _rejected(answer.read(_ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                why = f"{self._destination.url} answered {error.code}"
                if error.code in _AGAIN:
                    raise NotSentError(why, _seconds(error.headers.get("Retry-After"))) from None
                raise RefusedError(why, error.code in _FOR_A_FEW) from None
        except (OSError, HTTPException) as error:
            # No connection, a time-out, TLS, an answer that is no HTTP.
            raise NotSentError(f"{self._destination.url}: {error}") from None

    def _request(self, records: Sequence[Record]) -> urllib.request.Request:
        body = as_json(records, self._version)
        headers = {"User-Agent": f"stallwatch-otel/{self._version}", **self._destination.headers}
        headers["Content-Type"] = "application/json"
        if len(body) > _GZIP_ABOVE_BYTES:
            body = gzip.compress(body, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        return urllib.request.Request(self._destination.url, body, headers, method="POST")


class LoggerSender:
    """Through a LoggerProvider of the user, whose processors and exporters batch, retry and give up as they do."""

    def __init__(self, provider: LoggerProvider, version: str) -> None:
        self._logger = provider.get_logger(SCOPE, version)

    def send(self, records: Sequence[Record], timeout_s: float) -> int:
        for record in records:
            span = SpanContext(
                record.trace_id, record.span_id, False, TraceFlags(TraceFlags.SAMPLED)
            )
            self._logger.emit(
                LogRecord(
                    timestamp=record.time_ns,
                    observed_timestamp=record.time_ns,
                    context=set_span_in_context(NonRecordingSpan(span)),
                    severity_number=SeverityNumber.INFO,
                    attributes=dict(record.attributes),
                    event_name=record.event_name,
                )
            )
        return 0


def _rejected(answer: bytes) -> int:
    """From `partialSuccess`; an answer that cannot be read says nothing."""
    try:
        return int(json.loads(answer)["partialSuccess"]["rejectedLogRecords"])
    except (ValueError, KeyError, TypeError):
        return 0


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, is not needed here and ignored."""
    return float(text) if text is not None and text.strip().isdecimal() else None
