"""A real DBOS application with one workflow for each situation. It says `started`, waits for a line, says `told`, and
ends with the next line.

Run as a program: `dbos_app.py URL`, the URL of its system database.
"""

import os
import sys
import threading
from collections.abc import Callable

from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID, SetWorkflowTimeout

QUEUE = "payments"
LONG_S = 600
tries = 0


@DBOS.step()
def reserve() -> int:
    return 1


@DBOS.step(retries_allowed=True, max_attempts=3, interval_seconds=0.02)
def flaky() -> int:
    global tries
    tries += 1
    if tries < 3:
        raise ConnectionError("busy")
    return 2


@DBOS.step(retries_allowed=True, max_attempts=2, interval_seconds=0.02)
def hopeless() -> None:
    raise ConnectionError("refused")


@DBOS.step()
def hang() -> None:
    threading.Event().wait(LONG_S)


@DBOS.workflow()
def order() -> None:
    for _ in range(2):
        reserve()
    flaky()


@DBOS.workflow()
def broken() -> None:
    hopeless()


@DBOS.workflow()
def sleeper() -> None:
    DBOS.sleep(LONG_S)


@DBOS.workflow()
def napper() -> None:
    DBOS.sleep(0.2)


@DBOS.workflow()
def approval() -> None:
    DBOS.recv("approve", timeout_seconds=LONG_S)


@DBOS.workflow()
def child() -> None:
    reserve()


@DBOS.workflow()
def parent() -> None:
    child()


@DBOS.workflow()
def hung() -> None:
    reserve()
    hang()


def start(workflow: Callable[[], None], id_: str) -> None:
    with SetWorkflowID(id_):
        DBOS.start_workflow(workflow)


def enqueue(workflow: Callable[[], None], id_: str) -> None:
    with SetWorkflowID(id_):
        DBOS.enqueue_workflow(QUEUE, workflow)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    config = DBOSConfig(
        name="shop",
        system_database_url=sys.argv[1],
        executor_id="worker-1",
        application_version="v1",
        log_level="CRITICAL",
    )
    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(QUEUE, concurrency=1, polling_interval_sec=0.1)
    waits = (sleeper, "cancelled-1"), (approval, "approval-1"), (approval, "approved-1")
    quick = (order, "order-1"), (broken, "broken-1"), (napper, "napper-1"), (parent, "parent-1")
    for workflow, id_ in (*quick, *waits, (sleeper, "sleeper-1"), (hung, "hung-1")):
        start(workflow, id_)
    with SetWorkflowTimeout(0.5):
        start(sleeper, "late-1")
    enqueue(hung, "queued-1")
    enqueue(child, "queued-2")
    with SetEnqueueOptions(delay_seconds=LONG_S):
        enqueue(child, "queued-3")
    say("started")
    sys.stdin.readline()
    DBOS.send("approved-1", "yes", "approve")
    DBOS.cancel_workflow("cancelled-1")
    say("told")
    sys.stdin.readline()
    # Steps still hang in threads of their own.
    os._exit(0)


if __name__ == "__main__":
    main()
