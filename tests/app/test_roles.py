"""Several processes on one store: collectors side by side, and one brain."""

from pathlib import Path
from socket import gethostname

import httpx
import pytest

from stallwatch.clock import SystemClock
from tests.app.loader import STEPS, Parcel, parcels
from tests.app.running import WAIT_S, Place, Running, run_alone, until
from tests.app.test_serve import assert_stored
from tests.app.twin import Server, serving_store
from tests.store.test_server_mode import answering

pytestmark = pytest.mark.slow
EACH = 10


def place(folder: Path, server: Server, roles: str) -> Place:
    folder.mkdir()
    return Place(folder, url=server.url, roles=roles)


def send(running: Running, prefix: str) -> list[Parcel]:
    sent = []
    made = parcels(prefix, SystemClock().now())
    with httpx.Client(base_url=running.ingest, timeout=WAIT_S) as client:
        for _ in range(EACH):
            parcel = next(made)
            assert parcel.send(client)
            sent.append(parcel)
    return sent


def test_two_collectors_and_a_brain_on_one_new_store(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        places = [
            place(tmp_path / "one", server, "collector"),
            place(tmp_path / "two", server, "collector"),
            place(tmp_path / "brain", server, "detectors,alerts,web"),
        ]
        # All at once: each finds a store without tables.
        one, two, brain = (Running(each) for each in places)
        try:
            for running in (one, two, brain):
                running.wait_until_ready()
            sent = send(one, "one") + send(two, "two") + send(one, "one-again")

            def folded() -> bool:
                rows = brain.select("SELECT count() AS n FROM attempts WHERE status = 'completed'")
                return int(rows[0]["n"]) == STEPS * len(sent)

            until(folded)
            assert_stored(brain, sent)
            assert httpx.get(f"{brain.web}/readyz").status_code == 200
            one.kill()
            assert two.terminate() == 0
            assert brain.terminate() == 0
        finally:
            for running in (one, two, brain):
                running.kill()


def test_two_collectors_do_not_share_a_spool(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        only = place(tmp_path / "one", server, "collector")
        with only.serving():
            ended = run_alone(*only.argv("serve", "--roles", "collector"))
    assert ended.code == 2
    assert "has the role collector" in ended.err


def test_a_collector_starts_before_its_store(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        server.kill()
        early = place(tmp_path / "one", server, "collector")
        with early.serving() as running:
            sent = send(running, "early")
            # And ends in order, and starts again.
            assert running.terminate() == 0
        with early.serving() as running:
            sent += send(running, "again")
            server.start()
            brain = place(tmp_path / "brain", server, "detectors,alerts,web")
            with brain.serving() as reading:
                sql = "SELECT count() AS n FROM attempts WHERE status = 'completed'"
                until(lambda: int(reading.select(sql)[0]["n"]) == STEPS * len(sent))
                assert_stored(reading, sent)
            assert running.terminate() == 0


def test_one_brain_is_enough(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        first = place(tmp_path / "first", server, "detectors,alerts,web")
        second = place(tmp_path / "second", server, "detectors,alerts,web")
        with first.serving() as running:
            refused = run_alone(*second.argv("serve", "--roles", "detectors"))
            assert refused.code == 2
            assert (
                f"detectors run on this store already: at {gethostname()} (pid {running.pid})"
                in (refused.err)
            )
            healthy = run_alone(*first.argv("doctor"))
            assert healthy.code == 0, healthy.out
            assert f"lease detectors: {gethostname()} (pid {running.pid})" in healthy.out
            assert f"(pid {running.pid})" in healthy.out.split("service: ")[1]
            running.kill()
        # Killed, and started again with its state: at once.
        with first.serving() as running:
            assert running.terminate() == 0
        # Ended in order: others may begin at once.
        with second.serving() as running:
            assert running.terminate() == 0


def test_nobody_waits_for_a_store_that_hangs(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        brain = place(tmp_path / "brain", server, "detectors,alerts,web")
        early = place(tmp_path / "one", server, "collector")
        with brain.serving() as judging:
            server.freeze()
            with early.serving() as listening:
                sent = send(listening, "early")
                until(lambda: httpx.get(f"{judging.web}/readyz").status_code == 503)
                assert "the store" in httpx.get(f"{judging.web}/readyz").text
                assert listening.terminate() == 0
            assert judging.terminate() == 0
        server.thaw()
        with brain.serving() as judging, early.serving() as listening:
            sql = "SELECT count() AS n FROM attempts WHERE status = 'completed'"
            until(lambda: int(judging.select(sql)[0]["n"]) == STEPS * len(sent))
            assert_stored(judging, sent)
            assert listening.terminate() == 0
            assert judging.terminate() == 0


def test_a_collector_takes_what_comes_though_the_server_does_not_let_it_in(tmp_path: Path) -> None:
    with answering(401, 516) as port:
        folder = tmp_path / "one"
        folder.mkdir()
        url = f"clickhouse://127.0.0.1:{port}/stallwatch"
        with Place(folder, url=url, roles="collector").serving() as running:
            send(running, "early")
            assert running.terminate() == 0
