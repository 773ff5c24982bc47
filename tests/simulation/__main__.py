"""`python -m tests.simulation --seeds 1000`: many worlds, some dozens at a time in one database."""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from stallwatch.store import Store, open_store
from tests.simulation.play import Outcome, play
from tests.simulation.world import START, make

BATCH = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first world's seed")
    asked = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        root = open_store(f"chdb://{folder}/store")
        root.migrate(START)
        for first in range(asked.first, asked.first + asked.seeds, BATCH):
            seeds = range(first, min(first + BATCH, asked.first + asked.seeds))
            outcome = _batch(root, Path(folder) / f"batch-{first}", seeds)
            outcomes.append(outcome)
            sys.stdout.write(_line(seeds, outcome))
            for trouble in (*outcome.problems, *outcome.false_alarms):
                sys.stdout.write(f"  {trouble}\n")
            sys.stdout.flush()
        root.close()
    sys.stdout.write(_summary(outcomes))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _batch(root: Store, folder: Path, seeds: range) -> Outcome:
    folder.mkdir()
    worlds = [make(seed) for seed in seeds]
    with root.scratch(f"worlds_{seeds.start}", START) as store:
        return play(store, folder, worlds, seed=seeds.start)


def _line(seeds: range, outcome: Outcome) -> str:
    return (
        f"seeds {seeds.start} to {seeds.stop - 1}: {outcome.faults} faults, {len(outcome.problems)} problems, "
        f"{len(outcome.false_alarms)} false alarms, {outcome.crashes} crashes\n"
    )


def _summary(outcomes: list[Outcome]) -> str:
    delays = [delay for outcome in outcomes for delay in outcome.delays_s]
    executions = sum(outcome.executions for outcome in outcomes)
    faults = sum(outcome.faults for outcome in outcomes)
    return (
        f"{sum(o.worlds for o in outcomes)} worlds, {executions:,} executions, {faults} faults, "
        f"{sum(o.crashes for o in outcomes)} crashes in {sum(o.ticks for o in outcomes)} ticks: "
        f"{sum(len(o.problems) for o in outcomes)} problems, {sum(len(o.false_alarms) for o in outcomes)} healthy "
        f"executions called; called {statistics.median(delays):.1f} s after it could be known in the median, "
        f"{max(delays):.1f} s at the latest\n"
    )


if __name__ == "__main__":
    sys.exit(main())
