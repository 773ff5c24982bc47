"""JSON from strangers: every way in which it can be wrong becomes an InputError."""

from typing import Any, Final, TypeVar

import msgspec

from collector.refusals import TooLarge
from stallwatch.errors import InputError

OBJECTS_MAX: Final = 1_000_000
"""Objects and arrays in one text: an empty one takes two bytes and becomes 60 to 500 in memory."""
_TRUNCATED: Final = "Input data was truncated"
"""What msgspec says of JSON that could go on."""
T = TypeVar("T")


class CutOff(InputError):
    """JSON that was right so far and ends too early."""


def decode(data: bytes | memoryview, type_: type[T]) -> T:
    """Decode and check the shape. NaN, Infinity, lone surrogates and trailing text are not JSON and are refused.

    Raises InputError, and TooLarge if it would take far more memory than it has bytes.
    """
    # Brackets inside of texts count too: nobody sends a million of them. A part of a text was counted with it.
    if isinstance(data, bytes) and len(data) > OBJECTS_MAX:
        objects = data.count(b"{") + data.count(b"[")
        if objects > OBJECTS_MAX:
            raise TooLarge(f"more than {OBJECTS_MAX} objects and arrays: split the body")
    try:
        return msgspec.json.decode(data, type=type_)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start} of a string") from None
    except msgspec.MsgspecError as error:
        if str(error) == _TRUNCATED:
            raise CutOff("the JSON ends in the middle: it is cut off") from None
        raise InputError(str(error)) from None
    except RecursionError:
        raise InputError("nested too deeply") from None


def decode_any(data: bytes | memoryview) -> Any:
    """Decode whatever it is; raises InputError like `decode`."""
    return decode(data, Any)


def is_deeper(value: object, levels: int) -> bool:
    """Whether objects and arrays are nested more than `levels` deep."""
    if isinstance(value, dict):
        return levels == 0 or any(is_deeper(inner, levels - 1) for inner in value.values())
    if isinstance(value, list):
        return levels == 0 or any(is_deeper(inner, levels - 1) for inner in value)
    return False
