"""What a serialized value of DBOS says, where that can be told without running code: errors, and when a sleep ends."""

from typing import Any, Final

import msgspec

from collector.engines.dbos.pickled import Called, Global, described

MESSAGE_MAX: Final = 2000
PICKLE: Final = "py_pickle"
_RETRIES_EXCEEDED: Final = "DBOSMaxStepRetriesExceeded"
_STEP_TIMEOUT: Final = "DBOSStepTimeoutError"
_JSON_KEYS: Final = ("json", "error")
"""Where serializers that wrap what they write put it (superjson writes {"json": …})."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error: its class, its text, and what DBOS's own errors say besides."""

    type: str = ""
    message: str = ""
    max_attempts: int | None = None
    timeout_s: float | None = None


def error_of(text: str | None, serialization: str | None) -> Told | None:
    """The error in an `error` column; None where there is none, an unnamed one where it cannot be read."""
    if not text:
        return None
    if serialization in (None, "", PICKLE) and not text.startswith("{"):
        return _from_pickle(described(text))
    return _from_json(text)


def wake_time_s(text: str | None) -> float | None:
    """When a sleep ends, in seconds since 1970: the `output` of its row, as JSON or as a pickle."""
    if not text:
        return None
    try:
        value: Any = float(text)
    except ValueError:
        value = described(text)
    return float(value) if isinstance(value, int | float) and 0 < value < 1e11 else None


def _from_pickle(value: Any) -> Told:
    if not isinstance(value, Called) or not isinstance(value.what, Global):
        return Told()
    name, arguments = value.what.name.rpartition(".")[2], value.arguments
    # Copy's helpers make an object of a class that is their first argument.
    if value.what.module in ("copyreg", "copy_reg") and arguments:
        first = arguments[0]
        return Told(first.name) if isinstance(first, Global) else Told()
    if name == _RETRIES_EXCEEDED and len(arguments) >= 2 and isinstance(arguments[1], int):
        errors = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], list) else []
        last = _from_pickle(errors[-1]) if errors else Told()
        because = f": {last.type}: {last.message}" if last.type else ""
        message = f"Step {arguments[0]} has exceeded its maximum of {arguments[1]} retries{because}"
        return Told(name, message[:MESSAGE_MAX], max_attempts=arguments[1])
    if name == _STEP_TIMEOUT and len(arguments) == 2 and isinstance(arguments[1], int | float):
        message = f"Step {arguments[0]} timed out after {arguments[1]} seconds"
        return Told(name, message[:MESSAGE_MAX], timeout_s=float(arguments[1]))
    texts = [str(one) for one in arguments if isinstance(one, str | int | float)]
    return Told(name, ", ".join(texts)[:MESSAGE_MAX])


def _from_json(text: str) -> Told:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return Told(message=text[:MESSAGE_MAX])
    for key in _JSON_KEYS:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict):
        return Told(message=str(value)[:MESSAGE_MAX])
    name, message = (value.get(key) for key in ("name", "message"))
    return Told(
        name if isinstance(name, str) else "",
        message[:MESSAGE_MAX] if isinstance(message, str) else "",
    )
