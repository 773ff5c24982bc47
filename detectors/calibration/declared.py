"""What definitions declare of steps, looked up where an attempt itself declares nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from stallwatch.model.definitions import SOURCES

_FIELDS: Final = (
    "timeout_s", "heartbeat_timeout_s", "schedule_to_close_timeout_s", "max_attempts", "waiting_on",
)  # fmt: skip


Place = tuple[str, str, str, str]
"""namespace, engine, workflow, step; the empty step: the workflow"""


class Said(NamedTuple):
    """A declared value, and the `source` of the view `definitions` that declares it."""

    value: Any
    source: str


@dataclass(frozen=True)
class Declared:
    """`steps`: by place, then by version, the one declared last at the end; inside, by the names of the view's columns,
    what the most trusted source says that says something."""

    steps: Mapping[Place, Mapping[str, Mapping[str, Said]]] = field(default_factory=dict)

    def of(self, place: Place, version: str) -> Mapping[str, Said]:
        """What is declared of a step in this version.

        1. The version's own definition counts. 2. What it does not say, one without a version does. 3. Where there is
        neither, the version that was declared last.
        """
        versions = self.steps.get(place)
        if versions is None:
            return {}
        if version not in versions and "" not in versions:
            version = list(versions)[-1]
        return {**versions.get("", {}), **versions.get(version, {})}

    def steps_with(self, name: str) -> list[str]:
        """Names of the steps of which some version declares this, wherever they are."""
        found = {
            place[3]
            for place, versions in self.steps.items()
            if any(name in said for said in versions.values())
        }
        return sorted(found)


def declared_of(rows: Iterable[Mapping[str, Any]]) -> Declared:
    """From rows of `declared.sql`, the latest declared last."""
    steps: dict[Place, dict[str, dict[str, Said]]] = {}
    rows = list(rows)
    for row in rows:
        versions = steps.setdefault(_place(row), {})
        # What is declared later goes to the end.
        versions[row["workflow_version"]] = versions.pop(row["workflow_version"], {})
    for row in sorted(rows, key=lambda row: SOURCES.index(row["source"])):
        said = steps[_place(row)][row["workflow_version"]]
        for name in _FIELDS:
            if row[name] is not None:
                said.setdefault(name, Said(row[name], row["source"]))
    return Declared(steps)


def _place(row: Mapping[str, Any]) -> Place:
    return (row["namespace"], row["engine"], row["workflow"], row["step"])
