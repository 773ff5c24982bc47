"""Which engines there are. Adding one is adding its package and naming it here."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from collector.engines.reading import Engine
from stallwatch.errors import UsageError

_CLASSES: Final[Mapping[str, str]] = {
    "stepfunctions": "StepFunctions",
    "temporal": "Temporal",
    "durable": "Durable",
    "dbos": "Dbos",
    "prefect": "Prefect",
    "airflow": "Airflow",
}
ENGINES: Final = tuple(_CLASSES)


@cache
def engine(name: str) -> Engine:
    """The engine of this name; it is imported when it is asked for first. UsageError if there is none."""
    if name not in _CLASSES:
        raise UsageError(f"there is no engine {name[:60]!r}; there are {', '.join(ENGINES)}")
    found = getattr(import_module(f"collector.engines.{name}"), _CLASSES[name])()
    assert isinstance(found, Engine)
    return found
