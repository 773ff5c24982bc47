"""How a raw OTLP body travels to the engine: wrapped in an envelope that carries its origin, length in front."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

PIECE_BYTES: Final = 64 * 1024
_SCHEMA: Final = files("stallwatch.store") / "otlp.proto"
_MESSAGE: Final = "Envelope"


def schema_settings(embedded: bool) -> dict[str, Any]:
    """The insert settings by which the engine reads envelopes."""
    settings: dict[str, Any] = {
        # Tells 0, "" and "not set" apart in attribute values.
        "input_format_protobuf_oneof_presence": 1,
    }
    if embedded:
        # Given as text, the schema would be cached in a folder of the working directory.
        return {**settings, "format_schema": f"{_SCHEMA}:{_MESSAGE}"}
    return {
        **settings,
        "format_schema_source": "string",
        "format_schema": _SCHEMA.read_text(encoding="utf-8"),
        "format_schema_message_name": _MESSAGE,
    }


_FIXED64, _BYTES, _VARINT = 1, 2, 0
_RECEIVED_AT = bytes([1 << 3 | _FIXED64])
_SENDER = bytes([2 << 3 | _BYTES])
_NAMESPACE = bytes([3 << 3 | _BYTES])
_BATCH = bytes([4 << 3 | _FIXED64])
_HISTORICAL = bytes([5 << 3 | _VARINT])
_PINNED = bytes([6 << 3 | _VARINT])
_REQUEST = bytes([15 << 3 | _BYTES])


@dataclass(frozen=True, slots=True)
class Body:
    """A well-formed `ExportTraceServiceRequest` and where it came from."""

    request: bytes
    received_at: datetime
    sender: str
    namespace: str = "default"
    historical: bool = False
    pinned: bool = False
    """Whether the namespace holds whatever its spans say of theirs."""


def envelope(body: Body, batch: int) -> tuple[bytes, bytes]:
    """The body as one length-delimited `Envelope` message of `otlp.proto`: what comes before it, and itself."""
    sender, namespace = body.sender.encode(), body.namespace.encode()
    prefix = b"".join(
        (
            _RECEIVED_AT, struct.pack("<Q", int(body.received_at.timestamp() * 1_000_000)),
            _SENDER, varint(len(sender)), sender,
            _NAMESPACE, varint(len(namespace)), namespace,
            _BATCH, struct.pack("<Q", batch),
            _HISTORICAL, b"\x01" if body.historical else b"\x00",
            _PINNED, b"\x01" if body.pinned else b"\x00",
            _REQUEST, varint(len(body.request)),
        )
    )  # fmt: skip
    return varint(len(prefix) + len(body.request)) + prefix, body.request


def stream(bodies: Sequence[Body], batch: int) -> Iterator[bytes]:
    """The bodies as envelopes, one behind the other, in pieces of which none is small but the last.

    Large bodies are not copied; small ones are joined, because each piece costs a system call.
    """
    pieces: list[bytes] = []
    size_bytes = 0
    for body in bodies:
        for piece in envelope(body, batch):
            pieces.append(piece)
            size_bytes += len(piece)
        if size_bytes >= PIECE_BYTES:
            yield from (pieces if len(pieces) == 2 else (b"".join(pieces),))
            pieces, size_bytes = [], 0
    yield b"".join(pieces)


def varint(number: int) -> bytes:
    """Protobuf's base-128 encoding of a number ≥ 0."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
