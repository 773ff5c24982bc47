"""A service whose store's server goes away and comes back: what its readers and its log are told."""

from pathlib import Path

import httpx
import pytest

from tests.app.running import WAIT_S, Place, until
from tests.app.twin import serving_store

pytestmark = pytest.mark.slow

FAILURES = 6
AWAY = "the store is away: "
PATHS = ("/", "/executions", "/api/steps", "/clickhouse?query=SELECT+count()+FROM+executions")


def test_readers_and_the_log_are_told_in_a_sentence(tmp_path: Path) -> None:
    with serving_store(tmp_path / "store") as server:
        place = Place(tmp_path, url=server.url, roles="detectors,alerts,web")
        with place.serving() as running, httpx.Client(timeout=WAIT_S) as client:

            def statuses() -> set[int]:
                return {client.get(f"{running.web}{path}").status_code for path in PATHS}

            assert statuses() == {200}
            server.kill()
            for path in PATHS:
                answer = client.get(f"{running.web}{path}")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), path
                assert AWAY in answer.text
                assert server.url.split("/")[2] not in answer.text
            assert client.get(f"{running.web}/metrics").status_code == 200
            until(lambda: running.metric("stallwatch_job_failures_total") >= FAILURES)
            server.start()
            until(lambda: statuses() == {200})
            assert running.terminate() == 0
    failures = [line for line in running.said if "job failed" in line]
    assert failures
    assert not [line for line in running.said if "Traceback" in line or "exception" in line]
    # The same reason of the same job only once within these seconds.
    assert len(failures) < FAILURES
