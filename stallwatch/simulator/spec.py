"""Data that people wrote (YAML or plain objects), read strictly, with the place of every value.

Everything that is wrong becomes an InputError whose message begins with the file and the line, then
the path of the value (`expect[0].findings[1].detector`), then why.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from stallwatch.errors import InputError
from stallwatch.model.durations import parse_duration_s

DEPTH_MAX: Final = 64
VALUES_MAX: Final = 200_000
"""In one file, what aliases repeat counted each time: nine lines of aliases can stand for billions of values."""


class _Loader(yaml.SafeLoader):
    """YAML's own scalars without its dates: a time stays the text that was written."""

    values_read = 0

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class attribute, replaced not shared
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True)
class Spec:
    """One value and where it stands; `value` is a scalar, a dict of Specs or a list of Specs.

    `line` counts from 1 and is 0 for data that never was in a file.
    """

    value: object
    path: str = ""
    file: str = ""
    line: int = 0

    def error(self, message: str) -> InputError:
        """The error to raise about this value."""
        place = f"{self.file}:{self.line}: " if self.file else ""
        path = f"{self.path}: " if self.path else ""
        return InputError(f"{place}{path}{message}")

    def error_from(self, error: InputError) -> InputError:
        """`error` says `field: why` about this mapping: put it where that field stands."""
        field, separator, why = str(error).partition(": ")
        if separator and isinstance(self.value, dict) and field in self.value:
            child: Spec = self.value[field]
            return child.error(why)
        return self.error(str(error))

    def mapping(
        self, allowed: Collection[str] | None = None, required: Collection[str] = ()
    ) -> dict[str, "Spec"]:
        """The children of a mapping; InputError for a key not in `allowed` or a missing one."""
        if not isinstance(self.value, dict):
            raise self.error(f"must be a mapping, not {self._kind()}")
        children: dict[str, Spec] = self.value
        for key, child in children.items():
            if allowed is not None and key not in allowed:
                raise child.error(f"unknown key; known are {', '.join(sorted(allowed))}")
        for key in required:
            if key not in children:
                raise self.error(f"{key} is required")
        return children

    def sequence(self) -> list["Spec"]:
        if not isinstance(self.value, list):
            raise self.error(f"must be a list, not {self._kind()}")
        return self.value

    def text(self) -> str:
        """Non-empty text."""
        if not isinstance(self.value, str) or not self.value:
            raise self.error(f"must be text, not {self._kind()}")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.error(f"must be true or false, not {self._kind()}")
        return self.value

    def integer(self, minimum: int, maximum: int) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.error(f"must be a whole number, not {self._kind()}")
        if not minimum <= self.value <= maximum:
            raise self.error(f"must be between {minimum} and {maximum}, not {self.value}")
        return self.value

    def number(self, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """A finite number within `[minimum, maximum]`."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.error(f"must be a number, not {self._kind()}")
        if not math.isfinite(self.value) or not minimum <= self.value <= maximum:
            raise self.error(f"must be between {minimum:g} and {maximum:g}, not {self.value}")
        return float(self.value)

    def duration_s(self) -> float:
        """Seconds of a duration (≥ 0)."""
        try:
            return parse_duration_s(self.value)
        except InputError as error:
            raise self.error(str(error)) from None

    def offset_s(self) -> float:
        """Seconds of a duration that may have a minus before it."""
        try:
            return parse_offset_s(self.value)
        except InputError as error:
            raise self.error(str(error)) from None

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def _kind(self) -> str:
        if isinstance(self.value, dict):
            return "a mapping"
        if isinstance(self.value, list):
            return "a list"
        return repr(self.value)


def parse_offset_s(value: object) -> float:
    """Seconds of `5m`, `-10s` or a plain number; InputError otherwise."""
    if isinstance(value, str) and value.strip().startswith("-"):
        return -parse_duration_s(value.strip()[1:])
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return -parse_duration_s(-value)
    return parse_duration_s(value)


def plain_spec(data: object, path: str = "") -> Spec:
    """A Spec of decoded data, for callers without a file."""
    if isinstance(data, dict):
        children = {str(k): plain_spec(v, _join(path, str(k))) for k, v in data.items()}
        return Spec(children, path)
    if isinstance(data, list | tuple):
        return Spec([plain_spec(v, f"{path}[{i}]") for i, v in enumerate(data)], path)
    return Spec(data, path)


def read_text(file: Path) -> str:
    """What is in `file`; InputError names it."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from None


def read_yaml(file: Path) -> Spec:
    """The one YAML document in `file`; InputError names the file, and the line if it has one."""
    return parse_yaml(read_text(file), str(file))


def parse_yaml(text: str, file: str) -> Spec:
    """The one YAML document in `text`, which stood in `file`."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{file}: is empty")
        return _read_node(loader, node, Spec(None, "", file, 1), 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise InputError(f"{place}: not valid YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{file}:{line}: not valid YAML: {error.reason}") from None
    except RecursionError:
        raise InputError(f"{file}: not valid YAML: nested too deeply") from None
    except ValueError as error:
        # A scalar of a shape that YAML knows but no number or bool can have, such as `!!int x`.
        raise InputError(f"{file}: not valid YAML: {error}") from None


def _read_node(loader: _Loader, node: yaml.Node, place: Spec, depth: int) -> Spec:
    """`place` has the path and line under which the value of `node` is known."""
    if depth > DEPTH_MAX:
        raise place.error(f"is nested deeper than {DEPTH_MAX}")
    loader.values_read += 1
    if loader.values_read > VALUES_MAX:
        raise place.error(f"the file has more than {VALUES_MAX} values")
    if isinstance(node, yaml.MappingNode):
        children: dict[str, Spec] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise Spec(None, place.path, place.file, line).error("a key must be text")
            key = str(key_node.value)
            child = Spec(None, _join(place.path, key), place.file, line)
            if key in children:
                raise child.error("is given twice")
            children[key] = _read_node(loader, value_node, child, depth + 1)
        return Spec(children, place.path, place.file, place.line)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item_node in enumerate(node.value):
            line = item_node.start_mark.line + 1
            item = Spec(None, f"{place.path}[{index}]", place.file, line)
            items.append(_read_node(loader, item_node, item, depth + 1))
        return Spec(items, place.path, place.file, place.line)
    return Spec(loader.construct_object(node), place.path, place.file, place.line)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
