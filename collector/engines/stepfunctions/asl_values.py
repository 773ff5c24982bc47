"""Values of an ASL object, taken with care: what has the wrong shape is told with the state's name and the field's."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stallwatch.errors import InputError

NEVER_S: Final = 99_999_999
"""What AWS takes for the timeout of a Task that declares none: three years, so as good as none. No number is larger."""


class AslObject:
    """A JSON object of a definition, and where it stands in it."""

    def __init__(self, value: object, where: str) -> None:
        """Raises InputError if `value` is no object."""
        if not isinstance(value, dict):
            raise InputError(f"{where}: must be an object")
        self.value: Mapping[str, Any] = value
        self.where = where

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def wrong(self, key: str, why: str) -> InputError:
        return InputError(f"{self.where}.{key}: {why}")

    def text(self, key: str) -> str:
        """The text, or empty where there is none."""
        value = self.value.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(key, "must be text")
        return value

    def number(self, key: str) -> float | None:
        """A number from 0 on, or None where there is none."""
        value = self.value.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "must be a number")
        if not 0 <= value <= NEVER_S:
            raise self.wrong(key, f"must be from 0 to {NEVER_S}")
        return float(value)

    def whole_number(self, key: str, default: int) -> int:
        value = self.number(key)
        if value is not None and value != int(value):
            raise self.wrong(key, "must be a whole number")
        return default if value is None else int(value)

    def number_or_place(self, key: str) -> tuple[float | None, str]:
        """A number, or where the execution takes it from: the path in `<key>Path`, or a JSONata expression."""
        if f"{key}Path" in self:
            return None, self.text(f"{key}Path")
        if isinstance(self.value.get(key), str):
            return None, self.text(key)
        return self.number(key), ""

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.value.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "must be an array of texts")
        return tuple(value)

    def object(self, key: str) -> "AslObject":
        return AslObject(self.value.get(key), f"{self.where}.{key}")

    def objects(self, key: str) -> "Iterator[AslObject]":
        """The objects of an array; nothing where there is none."""
        value = self.value.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            raise self.wrong(key, "must be an array")
        for index, one in enumerate(value):
            yield AslObject(one, f"{self.where}.{key}[{index}]")
