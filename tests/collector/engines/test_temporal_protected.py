"""A real Temporal server behind a door that wants TLS, a client's certificate and an API key, as in the cloud."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import trustme

from collector.engines.temporal.poll import TemporalPoller
from stallwatch.app.demo.stage import free
from stallwatch.app.demo.temporal_processes import require_temporal, start_server
from stallwatch.clock import SystemClock
from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.errors import Permanent, Transient

pytestmark = pytest.mark.slow
CLOCK: Final = SystemClock()
KEY: Final = "key-of-the-reader"
SERVES_WITHIN_S: Final = 30.0


class Door(grpc.GenericRpcHandler):  # type: ignore[misc]  # it has no types
    """Hands every call on to the server behind it, if it brings the key."""

    def __init__(self, behind: str, key: str) -> None:
        self._channel = grpc.insecure_channel(behind)
        self._key = key

    def service(self, details: Any) -> Any:
        call = self._channel.unary_unary(details.method)

        def hand_on(request: bytes, context: Any) -> bytes:
            said = dict(context.invocation_metadata())
            if said.get("authorization") != f"Bearer {self._key}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "Request unauthorized.")
            try:
                answer: bytes = call(request, timeout=20)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            return answer

        return grpc.unary_unary_rpc_method_handler(hand_on)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def written(folder: Path, name: str, blob: trustme.Blob) -> Path:
    path = folder / name
    path.write_bytes(blob.bytes())
    return path


@pytest.fixture(scope="module")
def settings(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What a reader who is let in has in its configuration."""
    folder = tmp_path_factory.mktemp("temporal")
    with ExitStack() as ending:
        behind = free("127.0.0.1:0")
        server = start_server(require_temporal(), behind, folder, CLOCK, threading.Event())
        ending.callback(server.stop, terminate=True)
        door = Door(behind, KEY)
        ending.callback(door.close)
        own = authority.issue_cert("temporal.test", "127.0.0.1")
        credentials = grpc.ssl_server_credentials(
            [(own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())],
            authority.cert_pem.bytes(),
            require_client_auth=True,
        )
        front = grpc.server(ThreadPoolExecutor(8), handlers=[door])
        port = front.add_secure_port("127.0.0.1:0", credentials)
        front.start()
        ending.callback(lambda: front.stop(1).wait())
        reader = authority.issue_cert("reader@stallwatch.test")
        key = folder / "api-key"
        key.write_text(f"{KEY}\n")
        yield {
            "address": f"127.0.0.1:{port}",
            "tls_ca_file": written(folder, "ca.pem", authority.cert_pem),
            "tls_cert_file": written(folder, "reader.pem", reader.cert_chain_pems[0]),
            "tls_key_file": written(folder, "reader.key", reader.private_key_pem),
            "tls_server_name": "temporal.test",
            "api_key_file": key,
        }


def look(settings: dict[str, Any]) -> int:
    """One look; how many pieces it gave."""
    poller = TemporalPoller(TemporalConfig(**settings))
    try:
        return len(list(poller.poll(None, CLOCK.now())))
    finally:
        poller.close()


def until(settings: dict[str, Any], seen: Callable[[dict[str, Any]], int]) -> int:
    """The server behind the door listens before it is ready."""
    deadline_s = CLOCK.monotonic_s() + SERVES_WITHIN_S
    while True:
        try:
            return seen(settings)
        except Transient:
            assert CLOCK.monotonic_s() < deadline_s


def test_with_certificate_and_key_it_is_let_in(settings: dict[str, Any]) -> None:
    assert until(settings, look) >= 1


def test_a_wrong_key_is_permanent_and_is_not_told(settings: dict[str, Any], tmp_path: Path) -> None:
    wrong = tmp_path / "api-key"
    wrong.write_text("another-secret")
    with pytest.raises(Permanent, match=r"(?i)unauth") as refused:
        look({**settings, "api_key_file": wrong})
    assert "another-secret" not in str(refused.value)


def test_a_key_that_is_changed_counts_from_the_next_look_on(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    until(settings, look)
    changing = tmp_path / "api-key"
    changing.write_text(KEY)
    poller = TemporalPoller(TemporalConfig(**{**settings, "api_key_file": changing}))
    try:
        list(poller.poll(None, CLOCK.now()))
        changing.write_text("revoked")
        with pytest.raises(Permanent):
            list(poller.poll(None, CLOCK.now()))
        changing.write_text(KEY)
        list(poller.poll(None, CLOCK.now()))
    finally:
        poller.close()


@pytest.mark.parametrize("missing", ["tls_ca_file", "tls_server_name"])
def test_who_cannot_be_believed_is_not_asked(settings: dict[str, Any], missing: str) -> None:
    another = {"tls_server_name": "elsewhere.test"} if missing == "tls_server_name" else {}
    kept = {name: value for name, value in settings.items() if name != missing}
    with pytest.raises((Transient, Permanent)):
        look({**kept, **another})


def test_without_a_certificate_nobody_is_let_in(settings: dict[str, Any]) -> None:
    kept = {
        name: value
        for name, value in settings.items()
        if name not in ("tls_cert_file", "tls_key_file")
    }
    with pytest.raises((Transient, Permanent)):
        look(kept)
