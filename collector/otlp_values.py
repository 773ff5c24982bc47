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
"""Keys up to this length are remembered."""


def attributes(field: int, pairs: list[shapes.KeyValue] | None, depth: int = 0) -> bytes:
    """Key-value pairs that are `depth` values deep, in protobuf, as the repeated field of that number."""
    if not pairs:
        return b""
    return wire.messages(field, [_pair(pair, depth) for pair in pairs])


def _pair(pair: shapes.KeyValue, depth: int) -> bytes:
    key = _key(pair.key) if pair.key and len(pair.key) <= _KEY_MAX else wire.text(1, pair.key)
    return key if pair.value is None else key + wire.message(2, any_value(pair.value, depth))


@lru_cache(maxsize=1024)
def _key(key: str) -> bytes:
    """The few keys that all spans have."""
    return wire.text(1, key)


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


def hex_bytes(field: str, text: str | None) -> bytes:
    """An id; empty if there is none."""
    if not text:
        return b""
    try:
        return binascii.unhexlify(text)
    except ValueError:
        raise InputError(f"{field}: {text[:40]!r} is not hex") from None


def _base64(text: str) -> bytes:
    """Standard or URL alphabet, padded or not, as protobuf's JSON mapping allows."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError:
        raise InputError(f"bytesValue: {text[:40]!r} is not base64") from None


def nanoseconds(field: str, number: shapes.Number) -> int:
    """A time since 1970."""
    return _integer(field, number, 0, _UINT64_MAX)


def uint32(number: shapes.Number) -> int:
    """A count or flags."""
    if number is None:
        return 0
    return _integer("a count", number, *_UINT32)


def _integer(field: str, number: shapes.Number, low: int, high: int) -> int:
    if number is None:
        return 0
    if isinstance(number, str):
        digits = number.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
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
