"""A process that is told to end ends, whichever of its threads the kernel tells."""

import subprocess
import sys

TOLD_BESIDE = """
import signal, threading
from stallwatch.app.stopping import wait_until_told
from stallwatch.cli.serving import stop_event

stopping = stop_event()

def tell():
    main = threading.main_thread().ident
    # Only once the main thread waits is it told by way of this one.
    while "wait_until_told" not in str(sys._current_frames()[main].f_back.f_back.f_code):
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

import sys
threading.Thread(target=tell).start()
wait_until_told(stopping)
print("told")
"""


def test_a_signal_that_another_thread_gets_is_noticed() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TOLD_BESIDE], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "told\n"
