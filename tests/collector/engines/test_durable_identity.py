"""Who asks: tokens for the Durable Task Scheduler, and what happens without the extra."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.internal import orchestrator_service_pb2_grpc as stubs

from collector.engines.durable import Durable, polling
from collector.engines.durable.grpc_api import GrpcApi
from collector.engines.durable.identity import SCHEDULER, Tokens
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.errors import ConfigError, Permanent
from tests.collector.engines.timelines import NOW


class Credential:
    """Gives a token for the one scope that it should be asked for."""

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == (SCHEDULER,)
        return AccessToken("the-token", 2**31)


class NoCredential:
    def get_token(self, *_: str, **__: Any) -> AccessToken:
        raise ClientAuthenticationError("tenant 4711 of alice@example.com")


@pytest.fixture
def scheduler() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """An empty task hub, and what it was told of who asks."""
    asked: list[dict[str, str]] = []

    class Empty(stubs.TaskHubSidecarServiceServicer):
        def QueryInstances(
            self, request: Any, context: grpc.ServicerContext
        ) -> pb.QueryInstancesResponse:
            asked.append({str(key): str(value) for key, value in context.invocation_metadata()})
            return pb.QueryInstancesResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    stubs.add_TaskHubSidecarServiceServicer_to_server(Empty(), server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", asked
    server.stop(None).wait()


def test_the_scheduler_is_told_the_hub_and_who_asks(
    scheduler: tuple[str, list[dict[str, str]]],
) -> None:
    address, asked = scheduler
    source = GrpcApi(address, False, "shop", Tokens(Credential()), 10)
    assert list(source.open(NOW)) == []
    source.close()
    assert asked[0]["taskhub"] == "shop"
    assert asked[0]["authorization"] == "Bearer the-token"


def test_no_token_goes_over_a_line_that_others_can_read(
    scheduler: tuple[str, list[dict[str, str]]],
) -> None:
    address, asked = scheduler
    poller = Durable().poller(DurableConfig(grpc=address, grpc_tls=False))
    list(poller.poll(None, NOW))
    poller.close()
    assert all("authorization" not in metadata for metadata in asked)


def test_an_identity_that_is_not_found_is_said_without_names() -> None:
    with pytest.raises(Permanent, match="no Azure identity") as refused:
        Tokens(NoCredential()).metadata()
    assert "alice" not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [{"grpc": "127.0.0.1:8080"}, {"account_url": "https://a.example", "task_hub": "shop"}],
)
def test_without_the_extra_it_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name="azure.identity")

    monkeypatch.setattr(polling, "import_module", missing)
    with pytest.raises(
        ConfigError, match=r"azure is not installed: pip install 'stallwatch\[azure\]'"
    ):
        Durable().poller(DurableConfig.model_validate(settings))


def test_a_key_file_that_is_not_there_is_named() -> None:
    config = DurableConfig.model_validate({"url": "https://a.example", "key_file": "/nowhere/key"})
    with pytest.raises(ConfigError, match=r"engines\.durable\.key_file"):
        Durable().poller(config)
