"""What goes wrong in the Temporal demo and what is slow but healthy; the words its processes share."""

from typing import Final

from stallwatch.app.demo.faults import Fault, Slow
from stallwatch.config import Policy

ORDERS: Final = "orders"
PAYMENTS: Final = "payments"
UNREAD: Final = "oders"
"""A task queue that no worker reads: a misspelling in a deployment."""

HEALTHY: Final = "healthy"
HANGS: Final = "hangs"
LOST: Final = "lost"
FLAKY: Final = "flaky"
PATIENT: Final = "patient"

PAST: Final = {"order": 240, "approval": 15, "trial": 15}
"""Executions of each workflow that run before anything goes wrong."""
FALSE_ALARMS_PER_WEEK: Final = 500
"""At the pace of that past a week would have millions of orders, and one false alarm among them would ask for
thresholds of less than one in a million. 500 are still only one in ten showings of two minutes."""

HUNG: Final = Fault(
    "an activity hangs: ship never comes back", "stalled_step", "order", "ship", 0, 30
)
KILLED: Final = Fault(
    "a worker is killed (SIGKILL) in the middle of charge", "stalled_step", "order", "charge", 0, 30
)
UNHEARD: Final = Fault(
    what="an execution is started on a queue that nobody reads",
    detector="stalled_execution",
    workflow="order",
    step="",
    at_s=0,
    within_s=60,
    # Such executions usually end long before their standstill is beyond doubt.
    meanwhile=("overdue_execution",),
)
SLOW: Final = (
    Slow("a manager takes the whole demo to send the signal", "approval-patient"),
    Slow("a trial period sleeps on a timer of an hour", "trial-patient"),
    Slow("an activity fails twice; its retry policy heals it", "order-flaky"),
)
WAITS: Final = (
    Policy(engine="temporal", workflow="approval", step="ask_manager", enabled=False),
    Policy(engine="temporal", workflow="approval", max_duration=7 * 86400.0),
)
"""Temporal's spans show no wait for a signal: nothing is open, as if the execution had stopped. So a person has to say
that after `ask_manager` someone may think, and how long an approval may take. What the workflow does besides is judged
as ever. (The trial period needs no policy: its workflow says itself that it waits.)"""
