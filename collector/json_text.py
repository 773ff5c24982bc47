"""JSON from strangers: every way in which it can be wrong becomes an InputError."""

from typing import Any, TypeVar

import msgspec

from stallwatch.errors import InputError

T = TypeVar("T")


def decode(data: bytes | memoryview, type_: type[T]) -> T:
    """Decode and check the shape. NaN, Infinity, lone surrogates and trailing text are not JSON and are refused."""
    try:
        return msgspec.json.decode(data, type=type_)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: byte {error.start} of a string") from None
    except msgspec.MsgspecError as error:
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
