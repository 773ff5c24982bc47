"""What a body would grow to when it is unpacked: refused before it does.

Two bytes of protobuf can stand for an empty span, which takes 170 bytes of memory in the parser and more in the
engine; and the engine writes a copy of the resource beside every span. 35 kB of gzip became 2.6 GB that way.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.refusals import TooLarge
from stallwatch.errors import InputError

ITEMS_MAX: Final = 250_000
"""Spans, log records or metrics in one body; a body of 16 MiB has about 50,000 real spans."""
GROUPS_MAX: Final = 50_000
"""Resources and scopes in one body."""
ATTRIBUTES_MAX: Final = 1_000_000
"""Attributes, events and links of the spans of one body."""
COPIED_BYTES_MAX: Final = 128 * 1024 * 1024
"""Resources and scopes, each as often as there are spans under it."""
SMALL_BYTES: Final = 256 * 1024
"""What is smaller is not looked at before it is parsed: it cannot grow to more than 24 MB in the parser."""
LARGE_BYTES: Final = 4 * 1024 * 1024
"""What is larger is counted before it is parsed, at a quarter of a microsecond for each span."""
TURN_BYTES: Final = 1024 * 1024
"""What is larger is unpacked one at a time. Nothing as large is checked in the event loop, which may not wait."""
_TURN: Final = threading.Lock()
_NO_TURN: Final = nullcontext()
_TINY_BYTES: Final = 2
_TINY_SHARE: Final = 6
"""One byte in six: real bodies, also those of many short attributes, stay below one in eight."""
_CHUNK_BYTES: Final = 1024 * 1024
_LENGTH_DELIMITED: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
# How the attributes, events and links of a span begin in protobuf: fields 9, 11 and 13, the shortest and longer forms.
_ATTRIBUTE_TAGS: Final = (b"\x4a", b"\xca", b"\x5a", b"\xda", b"\x6a", b"\xea")


def turn(size_bytes: int) -> AbstractContextManager[object]:
    """While a body is in its unpacked form, which may be thirty times as large: so there is only one of them."""
    return _TURN if size_bytes > TURN_BYTES else _NO_TURN


def check_protobuf(body: bytes) -> None:
    """Refuse an Export request of any signal that would grow out of proportion, before it is parsed.

    Raises TooLarge; what is wrong in other ways is left for the parser to say.
    """
    if len(body) <= SMALL_BYTES:
        return
    if _tiny_parts(body) > len(body) // _TINY_SHARE:
        raise TooLarge(f"its {len(body)} bytes are mostly empty fields")
    if len(body) <= LARGE_BYTES:
        return
    try:
        _count(body)
    except _Broken:
        return


def _count(body: bytes) -> None:
    """All signals have resources in field 1, scopes in field 2 of those, items in field 2 of those."""
    groups = items = 0
    for resource in _submessages(body, 0, len(body), 1):
        groups += 1
        for scope in _submessages(body, *resource, 2):
            groups += 1
            if groups > GROUPS_MAX:
                raise _too_many(GROUPS_MAX, "resources and scopes")
            for _item in _submessages(body, *scope, 2):
                items += 1
                if items > ITEMS_MAX:
                    raise _too_many(ITEMS_MAX, "spans, log records or metrics")
        if groups > GROUPS_MAX:
            raise _too_many(GROUPS_MAX, "resources and scopes")


def first_item(body: bytes) -> bytes:
    """The first span, log record or metric of a request; empty if there is none, or it is not protobuf."""
    try:
        for resource in _submessages(body, 0, len(body), 1):
            for scope in _submessages(body, *resource, 2):
                for start, end in _submessages(body, *scope, 2):
                    return body[start:end]
    except _Broken:
        pass
    return b""


def check_spans(request: ExportTraceServiceRequest, body: bytes) -> int:
    """How many spans there are. Raises TooLarge if the engine would make far more of them than was sent."""
    groups = count = copied_bytes = 0
    for group in request.resource_spans:
        spans = 0
        groups += 1 + len(group.scope_spans)
        if groups > GROUPS_MAX:
            raise _too_many(GROUPS_MAX, "resources and scopes")
        for scope in group.scope_spans:
            spans += len(scope.spans)
        count += spans
        copied_bytes += spans * group.resource.ByteSize()
    if count > ITEMS_MAX:
        raise _too_many(ITEMS_MAX, "spans")
    if copied_bytes > COPIED_BYTES_MAX:
        raise TooLarge(
            f"the resources, written beside each of their spans, have more than {COPIED_BYTES_MAX} bytes"
        )
    # None takes less than two bytes. Counting tags is fast and never too low, counting attributes takes longer.
    if (
        len(body) > 2 * ATTRIBUTES_MAX
        and sum(body.count(tag) for tag in _ATTRIBUTE_TAGS) > ATTRIBUTES_MAX
    ):
        attributes = sum(
            len(span.attributes) + len(span.events) + len(span.links)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        )
        if attributes > ATTRIBUTES_MAX:
            raise _too_many(ATTRIBUTES_MAX, "attributes, events and links")
    return count


def _too_many(limit: int, of_what: str) -> TooLarge:
    return TooLarge(f"more than {limit} {of_what}: split the body")


class _Broken(InputError):
    """Not protobuf, or a form of it that nobody writes."""


def _submessages(body: bytes, at: int, end: int, field: int) -> Iterator[tuple[int, int]]:
    """Where the length-delimited values of a field are, as (start, end)."""
    wanted = field << 3 | _LENGTH_DELIMITED
    while at < end:
        tag, at = _varint(body, at, end)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, at = _varint(body, at, end)
            if tag == wanted:
                yield at, min(at + length, end)
            at += length
        elif kind == 0:
            _, at = _varint(body, at, end)
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            raise _Broken(f"wire type {kind}")


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _Broken("a varint")


def _tiny_parts(body: bytes) -> int:
    """About how many parts of at most two bytes there are, whatever they are part of."""
    found = 0
    whole = np.frombuffer(body, dtype=np.uint8)
    for start in range(0, len(whole), _CHUNK_BYTES):
        chunk = whole[start : start + _CHUNK_BYTES + 1]
        delimited = (chunk[:-1] & 7) == _LENGTH_DELIMITED
        found += int(np.count_nonzero(delimited & (chunk[1:] <= _TINY_BYTES)))
    return found
