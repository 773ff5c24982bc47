"""Public event logs: who did what and when, in five real processes.

An old release of pm4py carries them in its source archive, for its own tests. pip fetches that once, as it would for
installing it, and nothing of it is run but what pip needs to know its name. The archive is kept and never unpacked.
"""

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BufferedIOBase
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

RELEASE: Final = "pm4py==2.3.0"
ARCHIVE: Final = "pm4py-2.3.0.tar.gz"
SHA256: Final = "5ef5e558a99cfa4e9d5759607c5ba7b5ab19c42508f254b6138a5c5992f33383"
FETCHED_WITHIN_S: Final = 300
_FOLDER: Final = "pm4py-2.3.0/tests"


class NotHad(Exception):
    """The archive could not be had; the text says why."""


class Event(NamedTuple):
    """`at` in seconds since 1970; `hour` (0 to 24) and `weekday` (Monday is 0) by the clock of whoever wrote it.
    `transition` is what happened to the activity, in small letters; empty where the log does not say."""

    at: float
    hour: float
    weekday: int
    activity: str
    transition: str


Case = list[Event]


@dataclass(frozen=True)
class Source:
    """Where in the archive a log is. `spans`: its activities are scheduled, start and complete. `states`: what
    it calls a transition is part of the state's name."""

    name: str
    path: str
    spans: bool = False
    states: bool = False


@dataclass(frozen=True)
class Log:
    """Cases in the order in which they ended; the events of each by time, as written where that is equal."""

    source: Source
    cases: Sequence[Case]

    @property
    def name(self) -> str:
        return self.source.name


SOURCES: Final = (
    Source("loan applications (BPIC 2012)", "input_data/bpic2012.xes.gz", spans=True),
    Source("loan offers (BPIC 2017)", "compressed_input_data/05_bpic2017.xes.gz"),
    Source(
        "IT incidents (BPIC 2013)",
        "compressed_input_data/07_bpic2013_incidents.xes.gz",
        states=True,
    ),
    Source(
        "IT problems (BPIC 2013)", "compressed_input_data/06_bpic2013_closed.xes.gz", states=True
    ),
    Source("building permits, receipt (CoSeLoG)", "compressed_input_data/08_receipt.xes.gz"),
)
"""All that are real and whole. Left out: logs that were simulated, samples of a hundred cases, and selections of one
case for each course, in which nothing is rare."""


def archive(folder: Path | None = None) -> Path:
    """The archive, fetched with pip if it is not there yet. Raises NotHad."""
    kept = (folder or _cache()) / ARCHIVE
    if not kept.exists():
        _fetch(kept)
    if _sha256(kept) != SHA256:
        raise NotHad(f"{kept} is not what was published; delete it, and it is fetched again")
    return kept


def _cache() -> Path:
    """A folder of the user's that outlives this run, if there can be one."""
    try:
        folder = Path.home() / ".cache" / "stallwatch-benchmarks"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return Path(tempfile.mkdtemp(prefix="stallwatch-benchmarks-"))
    return folder


def _fetch(kept: Path) -> None:
    """By way of a folder beside it, so that half an archive is never taken for one. pip checks the hash before it
    looks inside."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(f"{RELEASE} --hash=sha256:{SHA256}\n", encoding="utf-8")
        command = [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--retries=1", "--timeout=15",
            "download", "--no-deps", "--no-binary=:all:", f"--dest={folder}", f"--requirement={wanted}",
        ]  # fmt: skip
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=FETCHED_WITHIN_S
            )
            (Path(folder) / ARCHIVE).rename(kept)
        except subprocess.CalledProcessError as error:
            told = [line for line in error.stderr.splitlines() if line.startswith("ERROR")]
            raise NotHad(f"pip: {(told or ['it failed'])[-1]}") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotHad(str(error)) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_logs(path: Path, sources: Sequence[Source] = SOURCES) -> Iterator[Log]:
    """One after the other, straight from the archive."""
    with tarfile.open(path) as opened:
        for source in sources:
            packed = opened.extractfile(f"{_FOLDER}/{source.path}")
            assert packed is not None
            with packed, gzip.open(packed) as file:
                yield read_xes(source, file)


def read_xes(source: Source, file: BufferedIOBase) -> Log:
    """A log in the format XES (IEEE 1849): traces of events, whose attributes are elements with `key` and `value`."""
    cases = []
    for _, element in ElementTree.iterparse(file):
        if _tag(element) != "trace":
            continue
        case = [_event(source, child) for child in element if _tag(child) == "event"]
        element.clear()
        if case:
            cases.append(sorted(case, key=lambda event: event.at))
    return Log(source, sorted(cases, key=lambda case: case[-1].at))


def _event(source: Source, element: ElementTree.Element) -> Event:
    said = {child.get("key"): child.get("value", "") for child in element}
    when = datetime.fromisoformat(said["time:timestamp"])
    activity, transition = said["concept:name"], said.get("lifecycle:transition", "")
    if source.states:
        activity, transition = f"{activity}: {transition}", ""
    hour = when.hour + when.minute / 60
    return Event(when.timestamp(), hour, when.weekday(), activity, transition.lower())


def _tag(element: ElementTree.Element) -> str:
    """Without the namespace that some writers give."""
    return element.tag.rpartition("}")[2]
