"""Some dozens of seeded worlds; `python -m tests.simulation` plays thousands."""

from pathlib import Path

from stallwatch.store import Store
from tests.simulation.play import play
from tests.simulation.world import make

SEEDS = range(1000, 1024)


def test_worlds(store: Store, tmp_path: Path) -> None:
    outcome = play(store, tmp_path, [make(seed) for seed in SEEDS], seed=SEEDS.start)
    assert outcome.problems == []
    assert outcome.false_alarms == []
    assert outcome.faults > 20
    assert outcome.crashes > 0
