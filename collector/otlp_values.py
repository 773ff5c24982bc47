"""The values of OTLP in JSON: attributes, ids, numbers, enums. What is wrong is named in an InputError."""

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from collector import otlp_shapes as shapes
from collector import wire
from stallwatch.errors import InputError

_DEPTH_MAX: Final = 32
"""Of an attribute's value; protobuf parsers stop at 100 levels of messages, and a level here is two or three."""
_UINT64_MAX: Final = 2**64 - 1
_INT64: Final = (-(2**63), 2**63 - 1)
_UINT32: Final = (0, 2**32 - 1)
_DIGITS_MAX: Final = 20
_KEY_MAX: Final = 100
_TEXT_MAX: Final = 31
"""Attributes with keys and texts up to these lengths are remembered as they were written: spans have the same ones
again and again. Longer texts are mostly ids and addresses, no two alike."""
_REMEMBERED: Final = 4096


def attributes(field: int, pairs: list[shapes.KeyValue] | None, depth: int = 0) -> bytes:
    """Key-value pairs that are `depth` values deep, in protobuf, as the repeated field of that number."""
    if not pairs:
        return b""
    return b"".join([_attribute(field, pair, depth) for pair in pairs])


def _attribute(field: int, pair: shapes.KeyValue, depth: int) -> bytes:
    key, value = pair.key or "", pair.value
    if value is None:
        return _written(field, key, b"")
    if depth == 0 and len(key) <= _KEY_MAX:
        text = value.string_value
        if text is not None:
            if len(text) <= _TEXT_MAX:
                return _text(field, key, text)
        elif value.bool_value is None and value.int_value is not None:
            return _whole(field, key, value.int_value)
    return _written(field, key, wire.message(2, any_value(value, depth)))


@lru_cache(_REMEMBERED)
def _text(field: int, key: str, text: str) -> bytes:
    return _written(field, key, wire.message(2, wire.message(1, text.encode())))


@lru_cache(_REMEMBERED)
def _whole(field: int, key: str, number: int | float | str) -> bytes:
    value = wire.set_varint(3, _integer("intValue", number, *_INT64))
    return _written(field, key, wire.message(2, value))


def _written(field: int, key: str, value: bytes) -> bytes:
    return wire.message(field, wire.text(1, key) + value)


def any_value(value: shapes.Value, depth: int = 0) -> bytes:
    """An AnyValue in protobuf; an object without any of the known fields is an empty one."""
    if depth > _DEPTH_MAX:
        raise InputError(f"an attribute is nested more than {_DEPTH_MAX} levels deep")
    if value.string_value is not None:
        return wire.message(1, value.string_value.encode())
    if value.bool_value is not None:
        return wire.set_varint(2, value.bool_value)
    if value.int_value is not None:
        return wire.set_varint(3, _integer("intValue", value.int_value, *_INT64))
    if value.double_value is not None:
        return wire.set_double(4, _double(value.double_value))
    if value.array_value is not None:
        items = [any_value(item, depth + 1) for item in value.array_value.values or ()]
        return wire.message(5, wire.messages(1, items))
    if value.kvlist_value is not None:
        return wire.message(6, attributes(1, value.kvlist_value.values, depth + 1))
    if value.bytes_value is not None:
        return wire.message(7, _base64(value.bytes_value))
    return b""


def hex_id(field: int, name: str, text: str | None) -> bytes:
    """An id, if there is one."""
    if not text:
        return b""
    try:
        return wire.message(field, binascii.unhexlify(text))
    except ValueError:
        raise InputError(f"{name}: {text[:40]!r} is not hex") from None


def _base64(text: str) -> bytes:
    """Standard or URL alphabet, padded or not, as protobuf's JSON mapping allows."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise InputError(f"bytesValue: {text[:40]!r} is not base64") from None


def nanoseconds(field: int, name: str, number: shapes.Number) -> bytes:
    """A time since 1970."""
    if number is None:
        return b""
    return wire.fixed64(field, _integer(name, number, 0, _UINT64_MAX))


def count(field: int, number: shapes.Number) -> bytes:
    """A number of what was left out."""
    if number is None:
        return b""
    return wire.varint(field, _integer("a count", number, *_UINT32))


def flags(field: int, number: shapes.Number) -> bytes:
    """32 bits."""
    if number is None:
        return b""
    return wire.fixed32(field, _integer("flags", number, *_UINT32))


def _integer(field: str, number: int | float | str, low: int, high: int) -> int:
    if isinstance(number, str):
        digits = number.removeprefix("-")
        if len(digits) > _DIGITS_MAX or not (digits.isascii() and digits.isdigit()):
            raise InputError(f"{field}: {number[:40]!r} is not an integer")
        number = int(number)
    elif isinstance(number, float):
        if not number.is_integer():
            raise InputError(f"{field}: {number} is not an integer")
        number = int(number)
    if not low <= number <= high:
        raise InputError(f"{field}: is beyond its {64 if high > 2**32 else 32} bits")
    return number


def _double(number: int | float | str) -> float:
    """A number, or one of protobuf's texts `NaN`, `Infinity`, `-Infinity`, or a number as text."""
    try:
        return float(number)
    except (ValueError, OverflowError):
        raise InputError(f"doubleValue: {str(number)[:40]!r} is not a number") from None


def enum_number(field: str, value: int | str | None, names: Mapping[str, int]) -> int:
    """The number of an enum value that was sent as a number or by its name. Numbers need not be known."""
    if isinstance(value, str):
        if value not in names:
            raise InputError(f"{field}: {value[:40]!r} is not known")
        return names[value]
    if value is not None and not -(2**31) <= value < 2**31:
        raise InputError(f"{field}: is beyond its 32 bits")
    return value or 0
