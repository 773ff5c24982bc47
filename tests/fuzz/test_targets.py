"""Every decoder under seeded garbage, and what broke one before. `make fuzz` does it for minutes, by coverage."""

import faulthandler
import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest

from collector.otlp import TRACES
from stallwatch.errors import InputError
from tests.fuzz import corpus
from tests.fuzz.__main__ import NAMES
from tests.fuzz.corpus import CRASHERS
from tests.fuzz.mutating import LENGTH_MAX, mutate_json, mutate_protobuf
from tests.fuzz.targets import BY_NAME, TARGETS, Target

MUTANTS: Final = 300
HANG_S: Final = 120.0
GROWTH_KB_MAX: Final = 512 * 1024
CRASHER_PATHS: Final = sorted(path for path in CRASHERS.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Ends the process and says where it was: what hangs in a decoder written in C can be stopped by nothing else."""
    faulthandler.dump_traceback_later(HANG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_garbage_is_refused_and_nothing_else_happens(target: Target) -> None:
    random = Random(f"{target.name} 1")
    seeds = list(target.seeds())
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in seeds:
        target.run(seed)
    for _ in range(MUTANTS):
        mutant = target.mutate(random.choice(seeds), random)
        try:
            target.run(mutant)
        except Exception as error:
            error.add_note(f"the input: {mutant!r}")
            raise
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    assert grown_kb < GROWTH_KB_MAX


@pytest.mark.parametrize("path", CRASHER_PATHS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_broke_one_before_does_not_again(path: Path) -> None:
    BY_NAME[path.parent.name].run(path.read_bytes())


def test_every_target_is_driven() -> None:
    assert [target.name for target in TARGETS] == list(NAMES)


def test_mutants_are_almost_right() -> None:
    """If all of them failed at the first byte, nothing behind it would ever be tried."""
    random = Random(1)
    taken = refused = 0
    for number in range(400):
        is_json = number % 2 == 0
        seed = corpus.otlp_texts()[1][1:] if is_json else corpus.traces()[0]
        mutant = (mutate_json if is_json else mutate_protobuf)(seed, random)
        assert len(mutant) <= LENGTH_MAX
        try:
            TRACES.check(mutant, is_json)
            taken += 1
        except InputError:
            refused += 1
    assert taken > 80
    assert refused > 80
