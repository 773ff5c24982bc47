"""How a command reaches the store: through the `serve` that holds it, or by opening it itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from collector.conventions import conventions
from stallwatch.app.claim import Claim, Serving, find_role, find_serving
from stallwatch.app.roles import Role
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.errors import StallwatchError, StoreUnavailable, UsageError
from stallwatch.store import Store, open_store
from stallwatch.store.definitions import SpanLimits
from stallwatch.store.engine import Address, Engine
from stallwatch.store.redaction import Redaction
from stallwatch.store.state import State

PROXY_PATH: Final = "/clickhouse"
LOCAL_USER: Final = "local"
"""Any name would do: only the token that is sent as its password counts."""
DETECT_TIMEOUT_S: Final = 600.0
REPLAY_TIMEOUT_S: Final = 6 * 3600.0


def data_folder(settings: Settings) -> Path | None:
    """The embedded store's folder, or None where the store is a server."""
    return Address.parse(settings.store.url).path


def state_folder(settings: Settings) -> Path:
    """Where the brain's SQLite state is kept."""
    if settings.store.state is not None:
        return settings.store.state
    folder = data_folder(settings)
    return Path("stallwatch-state") if folder is None else folder / "state"


def spool_folder(settings: Settings) -> Path:
    """Where the collector keeps what the store does not take: beside the embedded store, else with the state."""
    return (data_folder(settings) or state_folder(settings)) / "spool"


def shelf_folder(settings: Settings) -> Path:
    """Where the collector keeps what engines told until it is whole: beside the spool."""
    return (data_folder(settings) or state_folder(settings)) / "engines"


def open_state(settings: Settings) -> State:
    """Open (and create) the brain's state."""
    folder = state_folder(settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"store.state: {folder}: {error.strerror}") from None
    return State(folder / "brain.sqlite")


def new_store(settings: Settings) -> Store:
    """The configured store with its conventions; not migrated."""
    return open_store(
        settings.store.url,
        conventions=conventions(),
        redaction=Redaction(
            settings.collector.redact,
            settings.collector.redact_defaults,
            settings.collector.redact_salt,
        ),
        generic_services=settings.collector.generic_services,
        limits=SpanLimits(
            settings.collector.max_attributes, settings.collector.max_attribute_bytes
        ),
    )


def declare_configured(store: Store, settings: Settings, clock: Clock) -> None:
    """Have the store's definitions say what the configuration declares, no more and no less."""
    definitions = [one.definition() for one in settings.engines.definition]
    store.replace_configured(definitions, clock.now())


def serving(settings: Settings) -> Serving | None:
    """The `serve` that holds the configured embedded store, if one does."""
    folder = data_folder(settings)
    return None if folder is None else find_serving(folder)


def all_serving(settings: Settings) -> list[Serving]:
    """Each `serve` of this configuration here: the one that holds an embedded store, or those that have a role."""
    if data_folder(settings) is not None:
        holder = serving(settings)
        return [] if holder is None else [holder]
    found = (find_role(state_folder(settings), role) for role in Role)
    return list({one.pid: one for one in found if one is not None}.values())


@contextmanager
def own_store(settings: Settings, clock: Clock) -> Iterator[Store]:
    """The store, opened by this process alone, migrated and folded.

    An embedded one has what this configuration declares; a server's is declared by its `serve`, whose configuration
    may be another.
    """
    folder = data_folder(settings)
    claim = None if folder is None else Claim.take(folder)
    store = new_store(settings)
    try:
        store.migrate(clock.now())
        if folder is not None:
            store.drop_left_over_scratch()
            declare_configured(store, settings, clock)
        store.fold(clock.now())
        yield store
    finally:
        store.close()
        if claim is not None:
            claim.release()


@contextmanager
def reading_store(settings: Settings, clock: Clock) -> Iterator[Store]:
    """The public views, wherever they are: through the `serve` that holds the store, or directly."""
    holder = serving(settings)
    if holder is None:
        with own_store(settings, clock) as store:
            store.refresh_statistics()
            yield store
        return
    ask(holder, "fold")
    parts = urlsplit(holder.web)
    address = Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 80,
        proxy_path=PROXY_PATH,
        username=LOCAL_USER if holder.token else "",
        password=holder.token,
    )
    store = Store(Engine(address))
    try:
        yield store
    finally:
        store.close()


def ask(holder: Serving, what: str, timeout_s: float = 60.0, **fields: Any) -> Any:
    """Have the `serve` do something that needs the store itself (`forget`, `detect`). Returns its JSON answer."""
    if not holder.web:
        raise StoreUnavailable(
            f"the serve (pid {holder.pid}) has no web role: commands reach the store through it"
        )
    try:
        answer = httpx.post(
            f"{holder.web}/control/{what}",
            json=fields,
            headers=holder.headers,
            timeout=timeout_s,
            trust_env=False,
        )
    except httpx.HTTPError as error:
        raise StoreUnavailable(f"the serve at {holder.web} (pid {holder.pid}): {error}") from None
    data = answer.json()
    if answer.status_code == httpx.codes.OK:
        return data
    message = data.get("error", answer.text)
    raise UsageError(message) if answer.status_code == 400 else StallwatchError(message)
