"""`python -m tests.fuzz [--seconds 600] [--only NAME…]`: every decoder by coverage, then a real `serve`.

Exit status 1 if something broke.

Each decoder runs in a process of its own under atheris, which ends it when one input takes 20 s or the process more
than 1 GiB, and leaves the input in the folder of `--out`. A crasher that is worth keeping belongs to
`tests/fixtures/fuzz/<target>/`, where the tests find it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Final

from tests.app.running import Place
from tests.fuzz.contract import documents_hold
from tests.fuzz.corpus import CRASHERS
from tests.fuzz.live import Live

INPUT_TIMEOUT_S: Final = 20
RSS_LIMIT_MIB: Final = 1024
LIVE_SHARE: Final = 0.4
"""Of the time; the rest is divided among the decoders."""
NAMES: Final = (
    "otlp_protobuf", "otlp_json", "inflation", "events", "headers", "documents", "engine_documents", "scenarios",
    "settings", "words", "tokens", "spool_records", "web_queries", "sql_guard",
)  # fmt: skip


def main() -> int:
    """Drive everything; what happened is printed as it happens."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seconds", type=float, default=600)
    asked.add_argument("--only", nargs="*", default=[*NAMES, "live"], metavar="NAME")
    asked.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "stallwatch-fuzz")
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--target", help=argparse.SUPPRESS)
    options, rest = asked.parse_known_args()
    if options.target:
        _run_target(options.target, rest)
    decoders = [name for name in options.only if name != "live"]
    live_s = options.seconds * (LIVE_SHARE if decoders else 1.0) if "live" in options.only else 0
    broken = []
    for name in decoders:
        if not _drive(name, (options.seconds - live_s) / len(decoders), options.out, options.seed):
            broken.append(name)
    if live_s and not _live(live_s, options.seed):
        broken.append("live")
    _say(f"broken: {', '.join(broken)}" if broken else "nothing broke")
    return 1 if broken else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _drive(name: str, seconds: float, out: Path, seed: int) -> bool:
    """One decoder in a process of its own; whether it held."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz", "--target", name, f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={RSS_LIMIT_MIB}", f"-seed={seed}", "-max_len=20000",
            f"-artifact_prefix={folder}/crash-", "-print_final_stats=1", str(folder),
        ],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    runs = re.findall(r"number_of_executed_units:\s+(\d+)", ended.stderr)
    peak = re.findall(r"peak_rss_mb:\s+(\d+)", ended.stderr)
    what = f"{runs[-1] if runs else '?'} inputs, {peak[-1] if peak else '?'} MiB at most"
    _say(f"{name}: {what}, {'held' if ended.returncode == 0 else 'BROKE'}")
    if ended.returncode:
        _say((ended.stdout + ended.stderr)[-4000:])
    return ended.returncode == 0


def _run_target(name: str, flags: list[str]) -> None:
    """Become atheris on one decoder; does not return."""
    import atheris

    with atheris.instrument_imports(
        include=["collector", "dashboards", "stallwatch", "yaml", "tomllib"]
    ):
        from tests.fuzz.targets import BY_NAME
    target = BY_NAME[name]
    folder = Path(flags[-1])
    for number, seed in enumerate(target.seeds()):
        (folder / f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if seed % 3 == 0:
            changed: bytes = atheris.Mutate(data, max_size)
            return changed
        return target.mutate(data, Random(seed))[:max_size]

    crashers = [str(CRASHERS / name)] if (CRASHERS / name).is_dir() else []
    atheris.Setup(["fuzz", *flags, *crashers], target.run, custom_mutator=mutate)
    atheris.Fuzz()


def _live(seconds: float, seed: int) -> bool:
    """A `serve` under garbage; whether it held."""
    with tempfile.TemporaryDirectory() as folder, Place(Path(folder)).serving() as running:
        live = Live(running, seed)
        live.attack(seconds, sys.maxsize)
        _say(
            f"live: {live.requests} requests, {live.rss_max_bytes // 2**20} MiB at most, {dict(live.answers)}"
        )
        problems = live.defects + documents_hold(running, examples=100)
    for problem in problems:
        # What broke stands before the bodies that show it, which can be long.
        _say(f"live: {problem[:20_000]}")
    return not problems


if __name__ == "__main__":
    sys.exit(main())
