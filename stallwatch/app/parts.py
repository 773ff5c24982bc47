"""The parts of a service that its jobs and its answers work with."""

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.dispatcher import Dispatcher
from collector.engines.polling import Polling
from collector.service import Collector
from detectors.brain import Brain
from detectors.pace import Pace
from stallwatch.app.alive import Alive
from stallwatch.app.folder import Folder
from stallwatch.app.lease import Lease
from stallwatch.app.roles import Role
from stallwatch.clock import Clock
from stallwatch.config import Settings
from stallwatch.store import Store
from stallwatch.store.state import State
from stallwatch.store.watch import StoreWatch


@dataclass(frozen=True)
class Parts:
    """What was assembled; every part is there whatever the roles, but for `alive` and `pollings`."""

    settings: Settings
    roles: frozenset[Role]
    clock: Clock
    store: Store
    is_shared: bool
    """The store is a server."""
    state: State
    folder: Folder
    pace: Pace
    brain: Brain
    dispatcher: Dispatcher
    collector: Collector
    lease: Lease
    watch: StoreWatch
    alive: Alive | None
    """Only where it collects."""
    pollings: Sequence[Polling]
    """The engines that are asked; only where it collects."""
