"""What is sent: exports of service spans as SDKs write them, many of them and no two alike, made before a clock starts.

A body is made once as a protobuf message, its template; each further one is a copy of its bytes in which ids and times,
whose length is fixed, are written anew. So a hundred thousand spans take a tenth of a second.
"""

import base64
import gzip
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from tests.spans import any_value

SERVICES: Final = 40
NAMES_PER_SERVICE: Final = 8
SPANS_PER_TRACE: Final = 10
MARK: Final = b"http.response.status_code"
"""Stands exactly once in every span, however it is encoded: what was forwarded is counted by it."""
Encoding = Literal["protobuf", "gzip", "json"]
_GZIP_LEVEL: Final = 6
_BETWEEN_NS: Final = 1_000_003
_SPAN_NS_MAX: Final = 20_000_000
_TEMPLATE_NS: Final = 0x12345678_00000000
"""Where a template's times begin: a number that is found among other bytes."""
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True)
class Shape:
    """What the spans of a load are like."""

    spans_per_body: int = 500
    step_share: float = 0.0
    """The share of the traces that belong to a workflow: the root span is the execution, the others are its steps."""
    own_executions: bool = False
    """Every span is a trace, an execution and its only step at once: the worst case for a fold."""


class Template:
    """One export of one service; `body` makes copies with ids and times of their own."""

    def __init__(self, shape: Shape, service: int, dice: random.Random) -> None:
        self._shape = shape
        self._service = service
        self._dice = dice
        self._written: list[tuple[str, int, bytes]] = []
        message = ExportTraceServiceRequest()
        resource_spans = message.resource_spans.add()
        resource_spans.resource.attributes.extend(_key_values(_resource(service)))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name = "opentelemetry.instrumentation.asgi"
        scope_spans.scope.version = "0.66b2"
        self._add_spans(scope_spans)
        raw = message.SerializeToString()
        self._raw = np.frombuffer(raw, np.uint8)
        self._places = _places(raw, self._written)

    def body(self, begin_ns: int, noise: np.random.Generator) -> bytes:
        """A copy whose first span starts at `begin_ns`."""
        out = self._raw.copy()
        for kind, (places, owners) in self._places.items():
            count, width = int(owners.max()) + 1, places.shape[1]
            if kind == "time":
                times = out[places].view("<u8") + np.uint64(begin_ns - _TEMPLATE_NS)
                out[places] = times.view(np.uint8)
            elif kind == "execution":
                digits = noise.integers(0, 16, (count, width), np.uint8)
                out[places] = _DIGITS[digits][owners]
            else:
                out[places] = noise.integers(0, 256, (count, width), np.uint8)[owners]
        return out.tobytes()

    def _add_spans(self, scope_spans: ScopeSpans) -> None:
        per_trace = 1 if self._shape.own_executions else SPANS_PER_TRACE
        trace_id = root_id = execution = b""
        for number in range(self._shape.spans_per_body):
            trace, place = divmod(number, per_trace)
            span_id = self._dice.randbytes(8)
            if place == 0:
                trace_id, root_id = self._dice.randbytes(16), span_id
                execution = self._dice.randbytes(8).hex().encode() if self._is_ours(trace) else b""
            start_ns = _TEMPLATE_NS + number * _BETWEEN_NS
            end_ns = start_ns + self._dice.randrange(1_000_000, _SPAN_NS_MAX)
            scope_spans.spans.add(
                trace_id=trace_id,
                span_id=span_id,
                parent_span_id=root_id if place else b"",
                name=f"POST /shop-{self._service:02d}/call/{number % NAMES_PER_SERVICE}",
                kind=Span.SPAN_KIND_CLIENT if place else Span.SPAN_KIND_SERVER,
                start_time_unix_nano=start_ns,
                end_time_unix_nano=end_ns,
                attributes=_key_values(self._attributes(number, place, execution.decode())),
                status=Status(code=Status.STATUS_CODE_OK),
            )
            # In the order of their fields, which is that of the bytes.
            self._written += [("trace", trace, trace_id), ("span", number, span_id)]
            if place:
                self._written.append(("span", number - place, root_id))
            self._written += [("time", 0, t.to_bytes(8, "little")) for t in (start_ns, end_ns)]
            if execution:
                self._written.append(("execution", trace, execution))

    def _is_ours(self, trace: int) -> bool:
        """Whether this trace belongs to a workflow: spreads the share evenly."""
        share = self._shape.step_share
        return int((trace + 1) * share + 1e-9) > int(trace * share + 1e-9)

    def _attributes(self, number: int, place: int, execution_id: str) -> dict[str, Any]:
        attributes = {
            "http.request.method": "POST",
            "http.route": f"/shop-{self._service:02d}/call/{{id}}",
            "url.path": f"/shop-{self._service:02d}/call/{self._dice.randrange(10**6):06d}",
            MARK.decode(): 200 if number % 50 else 503,
            "server.address": f"shop-{self._service:02d}.svc.cluster.local",
            "server.port": 8443,
            "network.peer.address": f"10.{self._service}.{number % 250}.7",
            "network.protocol.version": "1.1",
            "app.retries": number % 3,
            "app.cached": number % 4 == 0,
        }
        if execution_id:
            attributes["stallwatch.execution_id"] = execution_id
            attributes["stallwatch.workflow"] = f"order-{self._service % 5}"
            if place or self._shape.own_executions:
                attributes["stallwatch.step"] = f"step-{place}"
        return attributes


def bodies(shape: Shape, count: int, begin_ns: int, seed: int) -> Iterator[bytes]:
    """`count` protobuf bodies of all services in turn, with increasing times. The same seed makes the same bodies."""
    dice, noise = random.Random(seed), np.random.default_rng(seed)
    templates = [Template(shape, service, dice) for service in range(min(SERVICES, count))]
    for number in range(count):
        yield templates[number % len(templates)].body(begin_ns + number * 1_000_000, noise)


def encoded(body: bytes, encoding: Encoding) -> bytes:
    """The same spans in another encoding of OTLP/HTTP."""
    match encoding:
        case "gzip":
            return gzip.compress(body, _GZIP_LEVEL)
        case "json":
            return _json(body)
        case _:
            return body


def headers(encoding: Encoding) -> str:
    """What HTTP has to say about a body."""
    if encoding == "json":
        return "Content-Type: application/json\r\n"
    more = "Content-Encoding: gzip\r\n" if encoding == "gzip" else ""
    return f"Content-Type: application/x-protobuf\r\n{more}"


def _resource(service: int) -> dict[str, Any]:
    return {
        "service.name": f"shop-{service:02d}",
        "service.version": f"2.{service}.1",
        "deployment.environment.name": "production",
        "host.name": f"node-{service % 7}.eu-west-1.internal",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
    }


def _key_values(attributes: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def _places(
    raw: bytes, written: list[tuple[str, int, bytes]]
) -> dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Of each kind: the indices of the bytes of each value (a row a value), and whose value it is."""
    begins: dict[str, list[int]] = defaultdict(list)
    owners: dict[str, list[int]] = defaultdict(list)
    widths: dict[str, int] = {}
    position = 0
    for kind, owner, value in written:
        position = raw.index(value, position)
        begins[kind].append(position)
        owners[kind].append(owner)
        widths[kind] = len(value)
        position += len(value)
    return {
        kind: (np.array(begins[kind])[:, None] + np.arange(widths[kind]), np.array(owners[kind]))
        for kind in begins
    }


def _json(body: bytes) -> bytes:
    """OTLP's JSON writes ids in hexadecimal digits, protobuf's own in base64."""
    message = MessageToDict(ExportTraceServiceRequest.FromString(body), use_integers_for_enums=True)
    for resource_spans in message["resourceSpans"]:
        for scope_spans in resource_spans["scopeSpans"]:
            for span in scope_spans["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64decode(span[name]).hex()
    return msgspec.json.encode(message)
