"""Every scenario file holds: the third part. Each takes about 2.5 s of processor time."""

from pathlib import Path

from stallwatch.app.replaying import run_scenario
from stallwatch.simulator.scenario import load_scenario
from stallwatch.store import Store
from tests.scenarios.files import every_one_of


@every_one_of(2)
def test_a_scenario_holds(store: Store, path: Path) -> None:
    assert run_scenario(store, load_scenario(path)).problems == []
