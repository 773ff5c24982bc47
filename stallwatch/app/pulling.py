"""`pull`: one look at an engine, by the `serve` that holds the store or by this process."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from collector.engines.polling import Looked, Polling
from collector.engines.registry import engine as engine_named
from collector.service import Collector
from stallwatch.app.access import ask, open_state, own_store, serving, shelf_folder
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.errors import UsageError

_TIMEOUT_S = 600.0


def pull(settings: Settings, engine: str, clock: Clock) -> Looked:
    """Look once, now; folded when it returns. Raises UsageError, Transient and Permanent."""
    engine_named(engine)
    holder = serving(settings)
    if holder is not None:
        looked = ask(holder, "pull", _TIMEOUT_S, engine=engine)
        return Looked(**looked)
    with own_store(settings, clock) as store:
        state = open_state(settings)
        collector = Collector(
            settings.collector,
            store,
            clock,
            CollectorRegistry(),
            shelf_folder=shelf_folder(settings),
            shelf_max_bytes=settings.engines.shelf_max_bytes,
        )
        try:
            pollings = collector.pollings(settings.engines, state)
            try:
                looked = chosen(pollings, engine).look()
            finally:
                for polling in pollings:
                    polling.close()
        finally:
            collector.close()
            state.close()
        store.fold(clock.now())
        store.refresh_statistics()
        return looked


def chosen(
    pollings: Sequence[Polling], engine: str, configuration: str = "the configuration"
) -> Polling:
    """The one of this engine. UsageError if it has no section in `configuration`, as a person would call it."""
    for polling in pollings:
        if polling.name == engine:
            return polling
    raise UsageError(f"{engine} has no section [engines.{engine}] in {configuration}")
