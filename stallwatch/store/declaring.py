"""Writing what definitions declare: one row per step, version and source, the newest writing counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from stallwatch.model.definitions import Definition
from stallwatch.store.engine import Engine

_FIELDS: Final = tuple(field.name for field in msgspec.structs.fields(Definition))


def write_definitions(engine: Engine, definitions: Sequence[Definition], now: datetime) -> None:
    """Write what the view `definitions` shows. A step that its source declares again replaces its row."""
    rows = [[*(getattr(definition, name) for name in _FIELDS), now] for definition in definitions]
    engine.insert_rows("definition_log", (*_FIELDS, "declared_at"), rows)
