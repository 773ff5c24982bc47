"""From `[engines.durable]` to what asks: which source, with which credentials."""

from importlib import import_module
from typing import Any

from collector.engines.durable.http_api import HttpApi
from collector.engines.durable.poll import DurablePoller
from collector.engines.durable.source import Source
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.config.engines.secrets import secret
from stallwatch.errors import ConfigError


def poller_of(config: DurableConfig) -> DurablePoller:
    """Raises ConfigError if a secret cannot be read, or if a package is missing."""
    return DurablePoller(
        _source(config), config.namespace, config.lookback,
        config.max_open, config.max_histories, config.parallel,
    )  # fmt: skip


def _source(config: DurableConfig) -> Source:
    if config.url is not None:
        key = secret("engines.durable.key", config.key, config.key_file)
        return HttpApi(config.url, key, config.task_hub, config.connection, config.timeout)
    # What a source needs is installed with the extra; without it nothing of it is imported.
    if config.grpc is not None:
        module = _extra("grpc_api")
        return _made(
            module.GrpcApi(
                config.grpc, config.grpc_tls, config.task_hub, _token(config), config.timeout
            )
        )
    module = _extra("tables")
    text = secret(
        "engines.durable.connection_string", config.connection_string, config.connection_string_file
    )
    if text:
        return _made(module.tables_of_connection(text, config.task_hub, config.timeout))
    assert config.account_url is not None
    return _made(
        module.tables_of_account(
            config.account_url, _credential(config), config.task_hub, config.timeout
        )
    )


def _made(source: Source) -> Source:
    return source


def _extra(name: str) -> Any:
    try:
        return import_module(f"collector.engines.durable.{name}")
    except ImportError as error:
        missing = (error.name or "a package").partition(".")[0]
        raise ConfigError(
            f"engines.durable: {missing} is not installed: pip install 'stallwatch[azure]'"
        ) from None


def _credential(config: DurableConfig) -> Any:
    if config.credential == "none":
        return None
    identity = _extra("identity")
    return identity.default_credential()


def _token(config: DurableConfig) -> Any:
    """What makes tokens for the Durable Task Scheduler; tokens are never sent in the clear."""
    if config.credential == "none" or not config.grpc_tls:
        return None
    identity = _extra("identity")
    return identity.Tokens(identity.default_credential())
