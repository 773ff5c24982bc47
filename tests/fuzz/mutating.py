"""Garbage that is almost right: bodies taken apart, changed inside, and put together again."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

Mutate = Callable[[bytes, Random], bytes]

LENGTH_MAX: Final = 20_000
"""What grows beyond this is cut: deep and long enough, and still fast."""
_DELIMITED: Final = 2
_DEPTH: Final = 200
NUMBERS: Final = (
    0, 1, -1, 127, 128, 255, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
    -(2**31), -(2**63), -(2**63) - 1, 10**25, 946684799999999999, 1e308, -1e308, 5e-324, -0.0, 0.1,
)  # fmt: skip
TEXTS: Final = (
    "", " ", "\x00", "a\x00b", "\ufeff", "\u202e", "\U0001f600", "\ud7ff", "é" * 300, "x" * 5000, "null", "NaN",
    "Infinity", "-Infinity", "1e400", "0x10", "١٢", "2026-11-22T10:00:00Z", "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999-23:59", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z",
    "2026-11-22T10:00:00", "-15m", "now", "99999999999999999999w", "1h30m", "../../etc/passwd", "' OR 1=1 --",
    "{x:String}", "%00%ff", "\r\nX: y", "stallwatch.step.started", "step.started", "workflow.started", "\x1b[31m",
)  # fmt: skip
_BYTES: Final = (
    b"\x00", b"\xff", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80" * 9 + b"\x00", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5",
    b"\xef\xbb\xbf", b"\r\n", b"\n", b'"', b"\\", b"\\ud800", b"{", b"[", b"}", b"]", b",", b":", b"\x1f\x8b\x08", b"'",
    b"`", b"\x0a\x00", b"\x12\x02\x0a\x00", b"\x0b", b"\x0c", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b"%", b"#", b"=",
)  # fmt: skip


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """A few bytes changed, put in, doubled, cut."""
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(out))
        match random.randrange(6):
            case 0 if out:
                out[at % len(out)] ^= 1 << random.randrange(8)
            case 1:
                out[at:at] = random.choice(_BYTES)
            case 2:
                del out[at : at + random.randint(1, 8)]
            case 3:
                out[at:at] = out[at : at + random.randint(1, 64)] * random.randint(1, 3)
            case 4:
                out[at : at + 1] = random.randbytes(random.randint(1, 8))
            case _:
                text = (
                    random.choice(TEXTS) if random.random() < 0.5 else str(random.choice(NUMBERS))
                )
                out[at:at] = text.encode("utf-8", "surrogatepass")
    return bytes(out[:LENGTH_MAX])


def mutate_json(data: bytes, random: Random) -> bytes:
    """Values of another kind, keys gone or doubled, nested deeply; now and then no JSON any more."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    for _ in range(random.randint(1, 3)):
        value = _changed(value, random)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    out = text.encode("utf-8", "surrogatepass")[:LENGTH_MAX]
    return mutate_bytes(out, random) if random.random() < 0.1 else out


def mutate_protobuf(data: bytes, random: Random) -> bytes:
    """Fields doubled, gone, moved, of another wire type, with overlong varints, wrong lengths, nested deeply."""
    return _mutated_message(data, random, 0)[:LENGTH_MAX]


def prefixed(mutate: Mutate) -> Mutate:
    """For inputs whose first byte chooses what the rest is taken for."""

    def mutate_rest(data: bytes, random: Random) -> bytes:
        first = random.randbytes(1) if random.random() < 0.2 else data[:1]
        return first + mutate(data[1:], random)

    return mutate_rest


def _changed(value: Any, random: Random) -> Any:
    """The same value, changed somewhere."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        match random.randrange(12):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, random.choice(TEXTS): value[key]}
            case 2:
                other = random.choice(list(value))
                return {**value, key: value[other]}
            case _:
                return {**value, key: _changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * random.randint(2, 5) + value[at + 1 :]
            case _:
                return [*value[:at], _changed(value[at], random), *value[at + 1 :]]
    return _another(value, random)


def _another(value: Any, random: Random) -> Any:
    match random.randrange(8):
        case 0:
            return random.choice(TEXTS)
        case 1 | 2:
            return random.choice(NUMBERS)
        case 3:
            return random.choice([None, True, False, [], {}, [[]], {"": {}}])
        case 4:
            return [value]
        case 5:
            return {random.choice(TEXTS): value}
        case 6 if isinstance(value, str):
            return mutate_bytes(value.encode("utf-8", "replace"), random).decode("utf-8", "replace")
        case 6:
            return str(value)
        case _:
            for _ in range(random.choice([2, 34, _DEPTH])):
                value = [value] if random.random() < 0.5 else {"a": value}
            return value


def _mutated_message(data: bytes, random: Random, depth: int) -> bytes:
    """Parse as protobuf fields, change one, or go into one; what cannot be parsed is changed as bytes."""
    fields = _fields(data)
    if not fields:
        return mutate_bytes(data, random)
    at = random.randrange(len(fields))
    number, kind, value = fields[at]
    choice = random.randrange(16)
    if isinstance(value, bytes) and depth < 8 and choice > 7:
        fields[at] = (number, kind, _mutated_message(value, random, depth + 1))
    elif choice == 0:
        del fields[at]
    elif choice == 1:
        fields[at:at] = [fields[at]] * random.choice([1, 2, 50])
    elif choice == 2:
        random.shuffle(fields)
    elif choice == 3:
        fields[at] = (random.choice([1, 2, 3, 7, 8, 15, 16, 2047, 2**29 - 1]), kind, value)
    elif choice == 4:
        fields[at] = (number, random.randrange(8), value)
    elif choice == 5 and isinstance(value, bytes):
        for _ in range(random.choice([2, 20, 60, 110])):
            value = _field((number, kind, value))
        fields[at] = (number, kind, value)
    elif isinstance(value, int):
        fields[at] = (number, kind, random.choice([n for n in NUMBERS if isinstance(n, int)]))
    else:
        return mutate_bytes(data, random)
    return b"".join(_field(field, random) for field in fields)


Field = tuple[int, int, int | bytes]


def _fields(data: bytes) -> list[Field]:
    """The fields of a message; empty if it is none."""
    fields: list[Field] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 5, _DELIMITED):
            length, at = _varint(data, at) if kind == _DELIMITED else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + length], at + length
        else:
            return []
        if at > len(data) or not tag >> 3:
            return []
        fields.append((tag >> 3, kind, value))
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
    return 0, len(data) + 1


def _field(field: Field, random: Random | None = None) -> bytes:
    number, kind, value = field
    wrong = random is not None and random.random() < 0.01
    out = _encoded(number << 3 | kind, overlong=wrong)
    if kind == 0:
        return out + _encoded(value if isinstance(value, int) else len(value), overlong=wrong)
    raw = value if isinstance(value, bytes) else (value % 2**64).to_bytes(8, "little")
    if kind == _DELIMITED:
        return out + _encoded(len(raw) + (1 if wrong else 0)) + raw
    return out + raw


def _encoded(value: int, overlong: bool = False) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    if overlong:
        out[-1] |= 0x80
        out += b"\x80\x00"
    return bytes(out)
