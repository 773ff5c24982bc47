"""The recorded documents of Temporal, and situations made of them."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from collector.engines.reading import Parts
from collector.engines.temporal import Temporal
from stallwatch.store import Store
from tests.collector.engines.timelines import FIXTURES, parts_of

FOLDER = FIXTURES / "temporal"
TEMPORAL = Temporal()
DOCUMENTS = sorted(FOLDER.glob("*.json"))


def situations() -> dict[str, list[Path]]:
    """Every document alone, and with the description that was taken at the moment of its history."""
    found = {path.stem: [path] for path in DOCUMENTS}
    for path in DOCUMENTS:
        kind, _, rest = path.stem.partition("_")
        if kind == "describe":
            found[f"both_{rest}"] = [path, FOLDER / f"history_{rest}.json"]
    return found


def parts(paths: list[Path]) -> list[Parts]:
    return [parts_of(TEMPORAL, path) for path in paths]


def pages(document: dict[str, Any], cuts: list[int]) -> Iterator[dict[str, Any]]:
    """A history in pages, each saying whose it is. What the server shows unwritten at the end is on the last page."""
    events = document["events"]
    written = [event for event in events if event.get("taskId")]
    first = events[0]["workflowExecutionStartedEventAttributes"]
    run_id = first["originalExecutionRunId"]
    for event in events:
        run_id = event.get("workflowTaskFailedEventAttributes", {}).get("newRunId") or run_id
    execution = {"workflowId": first["workflowId"], "runId": run_id}
    edges = sorted({0, *(cut % (len(written) + 1) for cut in cuts)})
    for start, end in itertools.pairwise([*edges, len(events)]):
        yield {"execution": execution, "events": events[start:end]}


class _Narrowed:
    """A store that shows one namespace only."""

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace

    def select(self, query: str) -> list[dict[str, Any]]:
        where = f" WHERE namespace = '{self._namespace}' ORDER BY"
        return self._store.select(query.replace(" ORDER BY", where, 1))


def narrowed(store: Store, namespace: str) -> Store:
    """For a timeline of one namespace."""
    return cast("Store", _Narrowed(store, namespace))
