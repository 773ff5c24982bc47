"""`/v1/engines/<name>` over real HTTP, with the smallest engine behind it."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.engines import receiving
from collector.engines.registry import ENGINES
from collector.service import Collector
from stallwatch.clock import ManualClock
from stallwatch.config.settings import CollectorConfig
from stallwatch.config.tokens import Token, add_token, hash_of
from tests.collector.engines.toy import Toy, did
from tests.collector.helpers import NOW, FakeStore, collecting, serving

JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "engine", lambda _: Toy())


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def collector(store: FakeStore) -> Iterator[Collector]:
    with collecting(store, ManualClock(NOW)) as collector:
        yield collector


@pytest.fixture
def url(collector: Collector) -> Iterator[str]:
    with serving(collector) as base:
        yield f"{base}/v1/engines/temporal"


def post(url: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(url, content=content, headers={**JSON, **headers}, trust_env=False)


def test_one_document(url: str, store: FakeStore) -> None:
    answer = post(url, did("r", "started", "charge"))
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 1, "rejected": 0, "errors": []},
    )
    assert store.stored() == ["r", "r"]


def test_an_array_with_a_bad_one(url: str, store: FakeStore) -> None:
    answer = post(url, [did("r", "started"), {"did": []}])
    assert answer.status_code == 200
    assert answer.json()["errors"] == [{"index": 1, "message": "run: is missing"}]
    assert store.stored() == ["r"]


def test_a_line_each_compressed(url: str, store: FakeStore) -> None:
    lines = b"\n".join(json.dumps(did(run, "started")).encode() for run in "rs")
    answer = post(
        url,
        gzip.compress(lines),
        **{"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
    )
    assert answer.json()["accepted"] == 2
    assert store.stored() == ["r", "s"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"{", "ends in the middle"),
        ({"did": []}, "run: is missing"),
        ([{"did": []}, {"did": []}], "run: is missing"),
        (b"[" * 100_000, "JSON|nested|deep"),
    ],
)
def test_nothing_good_in_it_is_400(url: str, store: FakeStore, body: Any, reason: str) -> None:
    answer = post(url, body)
    assert answer.status_code == 400
    assert answer.json()["accepted"] == 0
    assert store.stored() == []
    assert any(word in answer.text for word in reason.split("|"))


def test_the_query_says_what_the_document_does_not(url: str, store: FakeStore) -> None:
    assert post(f"{url}?execution_id=r-7", {"did": [[0, "started"]]}).status_code == 200
    assert store.stored() == ["r-7"]


def test_a_parameter_that_is_not_known(url: str) -> None:
    answer = post(f"{url}?execution=r-7", {"did": [[0, "started"]]})
    assert answer.status_code == 400
    assert "execution: is not a parameter" in answer.text


def test_what_the_sender_of_an_envelope_expects(url: str, store: FakeStore) -> None:
    answer = post(url, {"requestId": "q", "records": [did("r", "started"), {"did": []}]})
    assert (answer.status_code, answer.json()) == (200, {"requestId": "q"})
    assert store.stored() == ["r"]


def test_it_is_answered_when_it_is_stored(url: str, store: FakeStore) -> None:
    store.bad = {"r"}
    answer = post(url, did("r", "started"))
    assert answer.status_code == 400
    assert "cannot parse this" in answer.text


def test_every_engine_has_its_path(url: str) -> None:
    for name in ENGINES:
        path = url.replace("temporal", name)
        assert post(path, did(name, "started")).status_code == 200, name
        assert httpx.get(path, trust_env=False).status_code == 405
    assert "stepfunctions" in post(url.replace("temporal", "cadence"), {}).text


def test_tokens_and_the_key_of_firehose(tmp_path: Path, store: FakeStore) -> None:
    path = tmp_path / "tokens.toml"
    add_token(path, Token(name="shop", hash=hash_of("secret"), namespace="prod"))
    config = CollectorConfig(batch_ms=5, tokens_file=path)
    with collecting(store, ManualClock(NOW), config) as collector, serving(collector) as base:
        url = f"{base}/v1/engines/stepfunctions"
        assert post(url, did("r", "started")).status_code == 401
        key = {"X-Amz-Firehose-Access-Key": "secret"}
        assert post(url, did("r", "started"), **key).status_code == 200
        assert post(f"{url}?namespace=other", did("s", "started"), **key).status_code == 400
    assert store.stored() == ["r"]


def test_a_query_of_too_many_parameters_is_refused(url: str, store: FakeStore) -> None:
    answer = post(f"{url}?{'&'.join(f'p{n}=1' for n in range(17))}", did("r", "started", "charge"))
    assert answer.status_code == 400
    assert "more than 16 parameters" in answer.text
    assert store.stored() == []
