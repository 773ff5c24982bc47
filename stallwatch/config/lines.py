"""Where in a TOML file a key stands, which the standard parser does not say."""

import tomllib
from collections.abc import Sequence
from typing import Any, Final

LINES_MAX: Final = 2_000
"""Of longer files it is not said: the text is parsed once a line."""


def line_of(text: str, key: Sequence[str | int]) -> int | None:
    """The line (from 1) with which the key is there, or the part of it that is: up to it, read alone, the file has it.

    None where not even the first part is there.
    """
    lines = text.splitlines(keepends=True)[:LINES_MAX]
    key = key[: _depth(_parsed(lines), key)]
    for number in range(1, len(lines) + 1) if key else ():
        if _depth(_parsed(lines[:number]), key) == len(key):
            return number
    return None


def _parsed(lines: Sequence[str]) -> Any:
    """The lines' content; nothing where they end in the middle of a value."""
    try:
        return tomllib.loads("".join(lines))
    except ValueError:
        return {}


def _depth(content: Any, key: Sequence[str | int]) -> int:
    """How many parts of the key are there."""
    for depth, part in enumerate(key):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(key)
