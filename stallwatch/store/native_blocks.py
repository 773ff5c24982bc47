"""ClickHouse's Native format, framed for clients that speak a protocol revision.

An embedded engine writes Native blocks of revision 0. Clients that send `client_protocol_version` (clickhouse-go, so
Grafana) expect what a server would send them: a block info before each block (revision 51903 and later) and a byte
for custom serialization (none) behind each column's type (54454 and later), as in ClickHouse's NativeWriter.cpp.
To know where a column ends, its data is walked by its type.
"""

import re
from collections.abc import Callable
from typing import Final

from stallwatch.store.sql_guard import SqlRefused

BLOCK_INFO_REVISION: Final = 51903
CUSTOM_SERIALIZATION_REVISION: Final = 54454
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"  # no overflow row, no bucket, end
_WIDTHS: Final = {
    "Int8": 1, "UInt8": 1, "Bool": 1, "Enum8": 1, "Nothing": 1, "Int16": 2, "UInt16": 2, "Date": 2,
    "Enum16": 2, "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4,
    "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Int128": 16, "UInt128": 16,
    "UUID": 16, "IPv6": 16, "Int256": 32, "UInt256": 32, "Time": 4, "Time64": 8, "BFloat16": 2,
}  # fmt: skip
_DECIMAL_WIDTHS: Final = ((9, 4), (18, 8), (38, 16), (76, 32))
_KEY_WIDTHS: Final = (1, 2, 4, 8)
_TUPLE_FIELD: Final = re.compile(r"(?:\w+|`(?:[^`\\]|\\.)*`) (?=[A-Z])")


def framed(data: bytes, revision: int) -> bytes:
    """The same blocks as a server would send them to a client of this protocol revision.

    Raises SqlRefused for types whose layout is not known here (JSON, Dynamic, Variant, aggregate states).
    """
    if revision < BLOCK_INFO_REVISION or not data:
        return data
    custom = b"\x00" if revision >= CUSTOM_SERIALIZATION_REVISION else b""
    out = bytearray()
    at = 0
    while at < len(data):
        start = at
        columns, at = _varint(data, at)
        rows, at = _varint(data, at)
        out += _BLOCK_INFO + data[start:at]
        for _ in range(columns):
            start = at
            _, at = _text(data, at)
            type_, at = _text(data, at)
            out += data[start:at] + custom
            start = at
            if rows:
                at = _skip(data, _skip_prefix(data, at, type_), type_, rows)
            out += data[start:at]
    return bytes(out)


def _skip_prefix(data: bytes, at: int, type_: str) -> int:
    """Past the state that low-cardinality columns write before any data, in the order of the nested types."""
    name, inside = _split(type_)
    if name == "LowCardinality":
        return at + 8
    if name in ("Array", "Nullable", "Map", "Tuple", "Nested"):
        for part in inside:
            at = _skip_prefix(data, at, part)
    return at


def _skip(data: bytes, at: int, type_: str, rows: int) -> int:
    """Past the data of `rows` values of a type."""
    name, inside = _split(type_)
    if name in _WIDTHS:
        return at + _WIDTHS[name] * rows
    if name.startswith("Interval"):
        return at + 8 * rows
    special = _SPECIAL.get(name)
    if special is None:
        raise SqlRefused(f"a column of type {type_} cannot be sent in Native: cast it to String")
    return special(data, at, inside, rows)


def _strings(data: bytes, at: int, inside: list[str], rows: int) -> int:
    for _ in range(rows):
        length, at = _varint(data, at)
        at += length
    return at


def _fixed_strings(data: bytes, at: int, inside: list[str], rows: int) -> int:
    return at + int(inside[0]) * rows


def _decimals(data: bytes, at: int, inside: list[str], rows: int) -> int:
    precision = int(inside[0])
    return at + rows * next(width for most, width in _DECIMAL_WIDTHS if precision <= most)


def _nullables(data: bytes, at: int, inside: list[str], rows: int) -> int:
    return _skip(data, at + rows, inside[0], rows)


def _arrays(data: bytes, at: int, inside: list[str], rows: int) -> int:
    end = at + 8 * rows
    elements = int.from_bytes(data[end - 8 : end], "little") if rows else 0
    for part in inside:
        end = _skip(data, end, part, elements)
    return end


def _tuples(data: bytes, at: int, inside: list[str], rows: int) -> int:
    if not inside:
        return at + rows
    for part in inside:
        at = _skip(data, at, part, rows)
    return at


def _low_cardinalities(data: bytes, at: int, inside: list[str], rows: int) -> int:
    if rows == 0:
        return at
    flags = int.from_bytes(data[at : at + 8], "little")
    keys = int.from_bytes(data[at + 8 : at + 16], "little")
    # The dictionary's first value stands for NULL, so it has no null map of its own.
    at = _skip(data, at + 16, re.sub(r"^Nullable\((.*)\)$", r"\1", inside[0]), keys)
    return at + 8 + _KEY_WIDTHS[flags & 0xFF] * rows


_SPECIAL: Final[dict[str, Callable[[bytes, int, list[str], int], int]]] = {
    "String": _strings,
    "FixedString": _fixed_strings,
    "Decimal": _decimals,
    "Nullable": _nullables,
    "Array": _arrays,
    "Map": _arrays,
    "Tuple": _tuples,
    "LowCardinality": _low_cardinalities,
}


def _split(type_: str) -> tuple[str, list[str]]:
    """`Map(String, UInt8)` as its name and what stands between its outermost commas, without tuples' field names."""
    name, bracket, rest = type_.partition("(")
    if not bracket or rest == ")":
        return name, []
    parts, depth, quoted, part = [], 0, "", ""
    for character in rest[:-1]:
        if quoted:
            quoted = "" if character == quoted and not part.endswith("\\") else quoted
        elif character in "'`":
            quoted = character
        depth += 0 if quoted else (character == "(") - (character == ")")
        if character == "," and depth == 0 and not quoted:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    parts.append(part.strip())
    return name, [_TUPLE_FIELD.sub("", p, count=1) for p in parts] if name == "Tuple" else parts


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _varint(data, at)
    return data[at : at + length].decode("utf-8", "replace"), at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
