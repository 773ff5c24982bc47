"""Forked processes: each reports the spans that it began itself, whatever the parent was doing."""

import subprocess
import sys

from tests.instrumentation.helpers import STEP, WAIT_S, Receiver, receiving

BEGIN = f"""
import os, signal, sys, threading, time
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from stallwatch_otel import Heartbeat, StallwatchSpanProcessor
STEP = {STEP}
provider = TracerProvider()
processor = StallwatchSpanProcessor(
    sys.argv[1], heartbeat=Heartbeat.ALIVE, heartbeat_s=0.05, report_after_s=0.02
)
provider.add_span_processor(processor)
tracer = provider.get_tracer("shop")
def begin(name):
    own = {{"stallwatch.step": name, "stallwatch.worker": str(os.getpid())}}
    return tracer.start_span(name, attributes={{**STEP, **own}})
def until_told(number):
    while processor.counts().starts < number or processor.counts().heartbeats < 2:
        time.sleep(0.01)
"""
FORK = """
outer = begin("outer")
until_told(1)
child = os.fork()
if child == 0:
    assert processor.counts().starts == 0
    inner = begin("inner")
    until_told(1)
    inner.end()
    # The parent's span ends here as well, as it does when a block that both are in is left.
    outer.end()
    assert processor.force_flush(20_000)
    assert not processor._watch._open, processor._watch._open
    print("child", processor.counts().starts, flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
print("parent", os.waitstatus_to_exitcode(status))
beats = processor.counts().heartbeats
while processor.counts().heartbeats < beats + 2:
    time.sleep(0.01)
outer.end()
"""
BUSY_FORK = """
spans = [begin(f"outer {number}") for number in range(200)]
def churn():
    while True:
        begin("churn").end()
for _ in range(3):
    threading.Thread(target=churn, daemon=True).start()
until_told(1)
for number in range(30):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        inner = begin(f"inner {number}")
        told = processor.force_flush(15_000)
        os._exit(0 if told and processor.counts().starts == 1 else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
print("done")
os._exit(0)
"""
PREFORK = """
# As gunicorn with preload does: the application, with its provider, is made before the workers are forked.
workers = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        def stop(signum, frame):
            provider.shutdown()
            os._exit(0)
        signal.signal(signal.SIGTERM, stop)
        span = begin(f"request {number}")
        while True:
            time.sleep(0.1)
    workers.append(pid)
assert processor._thread is None
print("ready", flush=True)
sys.stdin.read()
for pid in workers:
    os.kill(pid, signal.SIGTERM)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers])
"""


def run(receiver: Receiver, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BEGIN + script, receiver.url],
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def steps_by_process(receiver: Receiver) -> dict[str, set[str]]:
    """Which steps each process told the start of."""
    told: dict[str, set[str]] = {}
    for said in receiver.taken:
        if said.name == "stallwatch.step.started":
            told.setdefault(said.fields["worker"], set()).add(said.fields["step"])
    return told


def test_a_child_reports_its_own_spans_and_leaves_the_parents() -> None:
    with receiving() as receiver:
        assert run(receiver, FORK) == "child 1\nparent 0\n"
    assert sorted(map(sorted, steps_by_process(receiver).values())) == [["inner"], ["outer"]]
    starts = [said for said in receiver.taken if said.name == "stallwatch.step.started"]
    assert len(starts) == 2


def test_forks_in_the_midst_of_spans_do_not_hang() -> None:
    with receiving() as receiver:
        assert run(receiver, BUSY_FORK) == "done\n"
    told = [
        said.fields["step"] for said in receiver.taken if said.name == "stallwatch.step.started"
    ]
    assert [name for name in told if name.startswith("inner")] == [f"inner {n}" for n in range(30)]
    assert len([name for name in told if name.startswith("outer")]) == 200


def test_prefork_workers_report_each_for_itself() -> None:
    with receiving() as receiver:
        process = subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                "-c",
                BEGIN + PREFORK,
                receiver.url,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            receiver.wait_for(lambda r: r.names().count("step.heartbeat") >= 9)
            out, _ = process.communicate(timeout=WAIT_S)
        assert (process.returncode, out) == (0, "[0, 0, 0]\n")
    told = steps_by_process(receiver)
    assert sorted(map(sorted, told.values())) == [["request 0"], ["request 1"], ["request 2"]]
