"""What Linux says a process costs."""

import os
import subprocess
import sys
import threading
import time

from benchmarks.process import cpu_s, memory_bytes, peak_memory

MIB = 1024 * 1024
_WORK = "import sys; x = bytearray(80 << 20); sum(range(3_000_000)); print(flush=True); sys.stdin.read()"


def test_cpu_of_this_process() -> None:
    before_s = cpu_s(os.getpid())
    own_before_s = time.process_time()
    sum(range(1_000_000))
    own_spent_s = time.process_time() - own_before_s
    assert cpu_s(os.getpid()) - before_s >= own_spent_s > 0


def test_children_count_while_they_live_and_afterwards() -> None:
    before_s, before_bytes = cpu_s(os.getpid()), memory_bytes(os.getpid())
    with (
        peak_memory(os.getpid()) as peak,
        subprocess.Popen(
            [sys.executable, "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        alive_s = cpu_s(os.getpid()) - before_s
        grown_bytes = memory_bytes(os.getpid()) - before_bytes
        its_own_s = cpu_s(child.pid)
    assert alive_s >= its_own_s > 0
    assert grown_bytes >= 80 * MIB
    assert peak.size_bytes >= before_bytes
    # Of one that was waited for only whole hundredths of a second are known.
    assert cpu_s(os.getpid()) - before_s >= its_own_s - 0.02


def test_children_that_end_while_they_are_counted() -> None:
    ended, done = 0, threading.Event()

    def come_and_go() -> None:
        nonlocal ended
        while not done.is_set():
            subprocess.run(["true"], check=True)
            ended += 1

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        while ended < 100:
            assert memory_bytes(os.getpid()) > 0
            assert cpu_s(os.getpid()) > 0
    finally:
        done.set()
        coming.join()
