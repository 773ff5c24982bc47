"""The statements that stand beside the modules of this room."""

import re
from importlib.resources import files
from typing import Final

_PART: Final = re.compile(r"{{(\w+)}}")
_SINCE: Final = re.compile(r"\b(attempts_since|executions_since)\(folded_from = ([^)]*)\)")
_FOLDED_FROM: Final = "{folded_from:UInt64}"


def sql_text(name: str) -> str:
    """`<name>.sql`. In it `{{part}}` is the file of that name, and `attempts_since(folded_from = …)` and
    `executions_since(folded_from = …)` are those of these names: views with a parameter would do the same, but long
    statements of them take a quarter longer to plan."""

    def since(call: re.Match[str]) -> str:
        return f"({_read(call[1]).replace(_FOLDED_FROM, call[2])})"

    return _SINCE.sub(since, _PART.sub(lambda part: _read(part[1]), _read(name)))


def _read(name: str) -> str:
    return (files("detectors") / f"{name}.sql").read_text(encoding="utf-8").strip()
