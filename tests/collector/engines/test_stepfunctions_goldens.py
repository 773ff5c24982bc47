"""Every recorded document of Step Functions, to the timeline that a person would draw of it.

The timelines stand in `timelines/` beside the documents. One that is missing is written, and the test fails once: look
at it before it is committed.
"""

from collections import Counter
from pathlib import Path

import pytest

from collector.engines.stepfunctions import StepFunctions
from stallwatch.store import Store
from tests.collector.engines.timelines import FIXTURES, parts_of, read_all, stored, timeline

ENGINE = StepFunctions()
FOLDER = FIXTURES / "stepfunctions"
GROUPS = {
    "histories": sorted(FOLDER.glob("history_*.json")),
    "statuses": sorted(path for path in FOLDER.glob("*.json") if "history_" not in path.name),
    "everything": sorted(FOLDER.glob("*.json")),
    "aws": sorted((FOLDER / "handmade").glob("*.json")),
}
OPEN = {"callback_stall", "wait_stall", "parallel_open"}


def looked_at(name: str, found: str) -> str:
    golden = FOLDER / "timelines" / f"{name}.txt"
    if not golden.exists():
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(found)
        pytest.fail(f"{golden} was written: look at it")
    return golden.read_text()


@pytest.mark.parametrize("name", GROUPS)
def test_timelines(store: Store, name: str) -> None:
    stored(store, read_all(ENGINE, [parts_of(ENGINE, path) for path in GROUPS[name]]))
    found = timeline(store)
    assert found == looked_at(name, found)


@pytest.mark.parametrize("path", GROUPS["everything"], ids=lambda path: path.stem)
def test_recorded_documents(path: Path) -> None:
    """Each by itself: nothing unknown, and open exactly where it was open."""
    readings = read_all(ENGINE, [parts_of(ENGINE, path)])
    kinds = sum((reading.kinds for reading in readings), Counter())
    assert not [kind for fate, kind in kinds if fate == "unknown"]
    name = path.stem.partition("_")[2]
    # The interpreter forgets to say when an execution timed out.
    is_open = name in OPEN or path.stem in ("describe_sm_timeout",) or "map_run" in path.stem
    assert [reading.is_closed for reading in readings] == [not is_open]
