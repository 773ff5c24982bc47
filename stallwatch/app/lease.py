"""One brain on a store that is a server: who judges and alerts holds a lease there, and a second one is kept out."""

import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from stallwatch.app.roles import Role
from stallwatch.clock import Clock
from stallwatch.errors import StallwatchError, UsageError
from stallwatch.store import leasing
from stallwatch.store.engine import Engine
from stallwatch.store.leasing import HELD_S, Holder
from stallwatch.store.state import State

LEASED: Final = (Role.DETECTORS, Role.ALERTS)
"""Twice at once these would tell everything twice."""
RENEW_S: Final = 10.0
_RENEW: Final = timedelta(seconds=RENEW_S)
_MARK: Final = "lease_holder"
_log = logging.getLogger(__name__)


class Lease:
    """The roles that one process holds. Thread-safe.

    1. `take` at the start, or be told who holds them; 2. `renew` every RENEW_S; 3. `give_back` at the end, else they
    are free HELD_S later. The same process started anew with its state has them at once. While the store is away they
    stay with their holder: nobody else can take them there.
    """

    def __init__(self, engine: Engine, state: State, clock: Clock, roles: Iterable[Role]) -> None:
        self._engine = engine
        self._clock = clock
        self._roles = [role for role in LEASED if role in roles]
        host = socket.gethostname()
        mark = state.watermark(_MARK)
        if mark is None:
            mark = uuid.uuid4().hex
            state.set_watermark(_MARK, mark)
        # A copied state is another holder on another host.
        self._me = Holder(f"{mark}@{host}", host, os.getpid(), 0)
        self._lock = threading.Lock()
        self._renewed_at: datetime | None = None
        self._others: dict[Role, Holder] = {}

    def take(self) -> None:
        """Hold the roles. UsageError says who does already. Raises StoreUnavailable and StoreRefused."""
        for role in self._roles:
            # One after the other: of two that begin at once, the one that is first in the first is first in all.
            self._renew(role)
            if other := self._others.get(role):
                self.give_back()
                raise UsageError(
                    f"--roles: {role} run on this store already: at {other.host} (pid {other.pid}), which said so "
                    f"{other.renewed_s_ago} s ago. One process judges and alerts: stop that one, or leave {role} out "
                    f"here. If it was killed, its lease ends {HELD_S} s later"
                )
        self._renewed_at = self._clock.now()

    def renew(self) -> None:
        """Go on holding the roles, and find out who took them meanwhile. Raises StoreUnavailable and StoreRefused."""
        with self._lock:
            for role in self._roles:
                self._renew(role)
            self._renewed_at = self._clock.now()

    def _renew(self, role: Role) -> None:
        holder = leasing.renew(self._engine, role, self._me)
        if holder.id == self._me.id:
            if self._others.pop(role, None):
                _log.warning("this process has the lease again", extra={"role": role})
            return
        if self._renewed_at is not None and role not in self._others:
            said = {"role": role, "host": holder.host, "pid": holder.pid}
            _log.error("another process has the lease: this one pauses", extra=said)
        self._others[role] = holder

    def while_held(self, role: Role, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, but not while another process has the lease of the role."""

        def done_if_held() -> None:
            if self._renewed_at is not None and self._clock.now() - self._renewed_at > 2 * _RENEW:
                # This process may have been frozen for longer than its lease lasts.
                try:
                    self.renew()
                except StallwatchError as error:
                    _log.debug("the lease is not renewed", extra={"reason": str(error)})
            if role not in self._others:
                work()

        return done_if_held

    def missing(self) -> list[str]:
        """What another process does in place of this one, in words."""
        return [
            f"{role} run at {other.host} (pid {other.pid})"
            for role, other in sorted(self._others.items())
        ]

    def give_back(self) -> None:
        """Let another process begin at once; called when nothing of the roles runs any more."""
        for role in self._roles:
            try:
                leasing.give_back(self._engine, role, self._me.id)
            except StallwatchError as error:
                _log.warning("the lease ends by itself", extra={"reason": str(error)})
                return
