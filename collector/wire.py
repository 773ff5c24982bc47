"""Protobuf as bytes, field by field: less than half the work of building messages and serializing them.

A field is given by its number in the .proto file and left out if it has its default value, as proto3 does.
Wire facts: https://protobuf.dev/programming-guides/encoding/
"""

import struct
from collections.abc import Iterable
from typing import Final

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_LOW_64_BITS: Final = 2**64 - 1


def _long_varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    number &= _LOW_64_BITS
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _tags(kind: int) -> list[bytes]:
    """What stands before the value of a field, by the number of the field."""
    return [_long_varint(field << 3 | kind) for field in range(32)]


_VARINT_TAGS: Final = _tags(_VARINT)
_FIXED64_TAGS: Final = _tags(_FIXED64)
_DELIMITED_TAGS: Final = _tags(_DELIMITED)
_FIXED32_TAGS: Final = _tags(_FIXED32)
_SHORT: Final = 1024
_VARINTS: Final = [_long_varint(number) for number in range(_SHORT)]
"""Most lengths and many numbers are in here."""
_pack_64 = struct.Struct("<Q").pack
_pack_32 = struct.Struct("<I").pack
_pack_double = struct.Struct("<d").pack


def _varint(number: int) -> bytes:
    return _VARINTS[number] if 0 <= number < _SHORT else _long_varint(number)


def message(field: int, value: bytes) -> bytes:
    """A message, or any other value with a length, which is there even if it is empty."""
    size = len(value)
    length = _VARINTS[size] if size < _SHORT else _long_varint(size)
    return _DELIMITED_TAGS[field] + length + value


def messages(field: int, values: Iterable[bytes]) -> bytes:
    """A repeated field."""
    return b"".join([message(field, value) for value in values])


def data(field: int, value: bytes) -> bytes:
    """Bytes."""
    return message(field, value) if value else b""


def text(field: int, value: str | None) -> bytes:
    """A string."""
    return message(field, value.encode()) if value else b""


def fixed64(field: int, value: int) -> bytes:
    """A number from 0 to 2**64 - 1."""
    return _FIXED64_TAGS[field] + _pack_64(value) if value else b""


def fixed32(field: int, value: int) -> bytes:
    """A number from 0 to 2**32 - 1."""
    return _FIXED32_TAGS[field] + _pack_32(value) if value else b""


def varint(field: int, value: int) -> bytes:
    """A whole number of up to 64 bits or an enum value."""
    return set_varint(field, value) if value else b""


def set_varint(field: int, value: int) -> bytes:
    """The same, there even if it is 0; booleans too."""
    return _VARINT_TAGS[field] + _varint(value)


def set_double(field: int, value: float) -> bytes:
    """A double, there even if it is 0."""
    return _FIXED64_TAGS[field] + _pack_double(value)
