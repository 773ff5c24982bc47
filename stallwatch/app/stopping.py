"""To wait for a signal that ends the process."""

import threading
from typing import Final

LOOK_S: Final = 0.5


def wait_until_told(stopping: threading.Event) -> None:
    """Return when a signal's handler has set the event; for the main thread.

    Python runs handlers in the main thread, when it next does something. The kernel may deliver a signal to any thread,
    of which the store's engine has many: a main thread that waits for ever does not notice.
    """
    while not stopping.wait(LOOK_S):
        pass
