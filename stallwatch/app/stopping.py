"""How a process ends: the signal that tells it to, and its parts, one after the other."""

import logging
import threading
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 0.5
PART_S: Final = 5.0
"""How long a part may take to end where a server may hang. Orchestrators wait thirty seconds before they kill."""
AFTER_HANG_S: Final = 1.0
"""The same once a part has not ended in time: what waits for the same server need not be waited for again."""
_log = logging.getLogger(__name__)


class Endings:
    """How to stop each part; run in the opposite order. `leaving`: parts that hang are left behind, else waited for."""

    def __init__(self, leaving: bool) -> None:
        self._leaving = leaving
        self._stops: list[tuple[str, Callable[[], object], float | None]] = []

    def add(self, name: str, stop: Callable[[], object], within_s: float | None = None) -> None:
        """`stop` ends what was begun just now, in `within_s` at most where that is longer than others take."""
        self._stops.append((name, stop, within_s))

    def run(self) -> bool:
        """Stop everything, the youngest first. False: a part hangs, and its threads are still there."""
        ended = True
        while self._stops:
            name, stop, within_s = self._stops.pop()
            _log.debug("stopping", extra={"part": name})
            if self._leaving:
                usual_s = PART_S if ended else AFTER_HANG_S
                ended &= _ends_within(within_s or usual_s, name, stop)
            else:
                stop()
        return ended


def _ends_within(seconds: float, name: str, stop: Callable[[], object]) -> bool:
    raised: list[Exception] = []

    def run() -> None:
        try:
            stop()
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that stops
            raised.append(error)

    thread = threading.Thread(target=run, name=f"stop-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    for error in raised:
        raise error
    if thread.is_alive():
        _log.warning("does not end in time, and is left behind", extra={"part": name})
    return not thread.is_alive()


def wait_until_told(stopping: threading.Event) -> None:
    """Return when a signal's handler has set the event; for the main thread.

    Python runs handlers in the main thread, when it next does something. The kernel may deliver a signal to any thread,
    of which the store's engine has many: a main thread that waits for ever does not notice.
    """
    while not stopping.wait(LOOK_S):
        pass
