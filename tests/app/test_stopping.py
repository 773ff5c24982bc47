"""A process that is told to end ends, whichever of its threads the kernel tells."""

import subprocess
import sys
import threading

import pytest

from stallwatch.app.stopping import Endings

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


def test_what_hangs_is_left_behind_and_the_rest_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stallwatch.app.stopping.PART_S", 0.1)
    ended: list[str] = []
    forever = threading.Event()
    endings = Endings(leaving=True)
    for name in ("store", "folder", "web"):
        endings.add(name, lambda name=name: ended.append(name))  # type: ignore[misc]
        if name == "folder":
            endings.add("jobs", forever.wait)
    assert not endings.run()
    assert ended == ["web", "folder", "store"]
    forever.set()
    assert endings.run()


@pytest.mark.parametrize("leaving", [True, False])
def test_an_ending_that_fails_is_heard_of(leaving: bool) -> None:
    endings = Endings(leaving)

    def fail() -> None:
        raise ValueError("broken")

    endings.add("one", fail)
    with pytest.raises(ValueError, match="broken"):
        endings.run()
