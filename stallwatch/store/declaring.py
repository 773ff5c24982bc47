"""Writing what definitions declare: one row per step, version and source, the newest writing counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from stallwatch.model.definitions import Definition
from stallwatch.store.engine import Engine

_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Definition))
_CONFIGURED: Final = "source = 'configuration'"


def write_definitions(engine: Engine, definitions: Sequence[Definition], now: datetime) -> None:
    """Write what the view `definitions` shows. A step that its source declares again replaces its row."""
    rows = [[*(getattr(definition, name) for name in _FIELDS), now] for definition in definitions]
    engine.insert_rows("definition_log", (*_FIELDS, "declared_at"), rows)


def replace_configured(engine: Engine, definitions: Sequence[Definition], now: datetime) -> None:
    """Make `definitions` all that the configuration declares: what it no longer says is deleted.

    The same again writes nothing, so a store that is opened often does not grow by it.
    """
    rows = engine.rows(f"SELECT {', '.join(_FIELDS)} FROM definition_log FINAL WHERE {_CONFIGURED}")
    before = [msgspec.convert(row, Definition) for row in rows]
    if _by_place(before) == _by_place(definitions):
        return
    if before:
        engine.mutate(f"ALTER TABLE definition_log DELETE WHERE {_CONFIGURED}")
    write_definitions(engine, definitions, now)


def _by_place(definitions: Sequence[Definition]) -> dict[tuple[str, ...], Definition]:
    return {(d.namespace, d.engine, d.workflow, d.workflow_version, d.step): d for d in definitions}
