"""The store away, frozen, killed, its disk full, the collector killed, under load: what was promised is there, once.

Short as tests; as a soak (`make soak`) with STALLWATCH_TEST_KILLS and STALLWATCH_TEST_OUTAGE_S.
"""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

import httpx
import pytest

from stallwatch.clock import SystemClock
from tests.app.loader import Load, Parcel, parcels, resend
from tests.app.running import WAIT_S, Place, until
from tests.app.test_serve import assert_stored
from tests.app.twin import Server, serving_store
from tests.requirements import require

pytestmark = pytest.mark.slow

KILLS: Final = int(os.environ.get("STALLWATCH_TEST_KILLS", "2"))  # noqa: TID251 - no setting of the product
OUTAGE_S: Final = float(os.environ.get("STALLWATCH_TEST_OUTAGE_S", "3"))  # noqa: TID251 - as above
SEED: Final = 20260106
CLOCK: Final = SystemClock()
SPOOLING: Final = 'spool_after = "1s"\n'


def tell(text: str) -> None:
    """A figure of a soak, which runs pytest with -s."""
    sys.stdout.write(f"\n{text}\n")


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def assert_in_order(server: Server) -> None:
    """What a sender sent after an answer was committed after what was answered, on either road. What was stored again,
    since the store ended before it could answer, counts from the first time on."""
    rows = server.select(
        "SELECT sender, road, min(batch) AS batch FROM step_event_log "
        "GROUP BY sender, road, execution_id, event_id ORDER BY sender, road, min(received_at)"
    )
    assert len({row["batch"] for row in rows}) > 1
    for one, after in pairwise(rows):
        if (one["sender"], one["road"]) == (after["sender"], after["road"]):
            assert one["batch"] <= after["batch"], (one, after)


# The store is a server -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["gone", "frozen"])
def test_an_outage_of_the_store_under_load(tmp_path: Path, fault: str) -> None:
    with serving_store(tmp_path / "store") as server:
        here = Place(tmp_path, url=server.url, spooling=SPOOLING)
        with here.serving() as running:
            load = Load(running, "outage", pause_s=0.02)
            load.wait_for(20)
            if fault == "gone":
                server.kill()
            else:
                server.freeze()
            pause(OUTAGE_S)
            # Answered all the time, from the disk.
            load.wait_for(20)
            assert running.metric("collector_spool_records") > 0
            if fault == "gone":
                server.start()
            else:
                server.thaw()
            load.wait_for(20)
            load.end()
            began_s = CLOCK.monotonic_s()
            running.until_drained()
            tell(
                f"store {fault} for {OUTAGE_S:.0f} s: {len(load.promised)} requests promised, {len(load.unanswered)} "
                f"refused, {running.metric('collector_spooled_total'):.0f} items spooled, drained "
                f"{CLOCK.monotonic_s() - began_s:.1f} s after the load ended"
            )
            assert load.unanswered == []
            assert_stored(running, load.promised)
            assert running.metric("collector_set_aside_total") == 0
            assert_in_order(server)
            assert running.terminate() == 0


def test_collector_and_server_killed_at_random(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    sent: list[Parcel] = []
    waiting: list[Parcel] = []
    with serving_store(tmp_path / "store") as server:
        here = Place(tmp_path, url=server.url, spooling=SPOOLING)
        for life in range(KILLS + 1):
            with here.serving() as running:
                resend(running, waiting)
                sent += waiting
                if life == KILLS:
                    running.until_drained()
                    assert_stored(running, sent)
                    tell(
                        f"{KILLS} kills of server and collector: {len(sent)} requests, each there once"
                    )
                    break
                load = Load(running, f"life-{life}", pause_s=0.01)
                load.wait_for(chance.randint(10, 30))
                server.kill()
                load.wait_for(chance.randint(5, 20))
                # The collector ends with its spool full, while it is drained, or after that.
                if chance.random() < 0.7:
                    server.start()
                    pause(chance.uniform(0, 2))
                    running.kill()
                else:
                    running.kill()
                    server.start()
                load.join()
                sent += load.promised
                waiting = load.unanswered


# The disk ------------------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own of a few megabytes."""
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, check=False,
    )  # fmt: skip
    require(mounting.returncode == 0, "the right to mount a small disk (root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all that is free on a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
    return ballast


@pytest.mark.parametrize("left_bytes", [0, 700_000], ids=["full", "too full for the engine"])
def test_a_full_disk_is_refused_politely_and_passes(tmp_path: Path, left_bytes: int) -> None:
    """The engine wants a megabyte before it writes; with less, the spool takes what it can."""
    with small_disk(tmp_path / "disk", "256m") as disk:
        here = Place(disk)
        with here.serving() as running:
            made = parcels("disk", CLOCK.now())
            sent: list[Parcel] = []
            with httpx.Client(base_url=running.ingest, timeout=WAIT_S) as client:
                for _ in range(10):
                    sent.append(next(made))
                    assert sent[-1].send(client)
                ballast = fill(disk)
                os.truncate(ballast, ballast.stat().st_size - left_bytes)
                refused: list[Parcel] = []
                while len(refused) < 10:
                    parcel = next(made)
                    answer = parcel.post(client)
                    if answer.status_code == 200:
                        sent.append(parcel)
                    else:
                        assert answer.status_code in (429, 503), answer.text
                        assert int(answer.headers["Retry-After"]) >= 1
                        refused.append(parcel)
                assert (running.metric("collector_spool_records") > 0) == (left_bytes > 0)
                ballast.unlink()
                # Without a hand: the same requests are taken.
                for parcel in refused:
                    until(lambda: parcel.send(client))  # noqa: B023
                    sent.append(parcel)
                for _ in range(10):
                    sent.append(next(made))
                    assert sent[-1].send(client)
            running.until_drained()
            assert_stored(running, sent)
            tell(
                f"disk full ({left_bytes} bytes left): {len(sent)} requests promised, {len(refused)} refused"
            )
            running.kill()
        with here.serving() as running:
            assert_stored(running, sent)
            assert running.terminate() == 0
