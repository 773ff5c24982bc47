"""A start told by log record and the span that follows are one attempt: the collector must find the same in both."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import set_span_in_context
from stallwatch_otel.records import Record, as_json, heartbeat_record, start_record
from stallwatch_otel.watch import Watch

from collector.conventions import conventions
from collector.logs import read_records
from collector.otlp_json import logs_request
from stallwatch.clock import SystemClock
from stallwatch.model.events import StepEvent
from stallwatch.store import Body, EventRow, Store

pytestmark = pytest.mark.slow

CLOCK = SystemClock()
NOW = CLOCK.now()
SHARED = (
    "engine", "namespace", "workflow", "execution_id", "run_id", "event", "time", "step",
    "step_run_id", "attempt", "branch", "event_id", "sequence", "queue", "downstream", "idempotency_key",
    "waiting_on", "timeout_s", "trace_id", "span_id",
)  # fmt: skip


class Kept(SpanExporter):
    """What the user's exporter would send."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS


class Ids(IdGenerator):
    """Hypothesis makes `random`, from which the SDK takes its ids, repeat itself."""

    def generate_span_id(self) -> int:
        return secrets.randbits(63) + 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(127) + 1


@pytest.fixture(scope="module")
def rooted_store(store_root: Store) -> Iterator[Store]:
    """A store with the conventions, in which every root of the service `every` is an execution."""
    rooted = Store(
        store_root.engine,
        conventions=conventions(),
        generic_services=["every"],
    )
    with rooted.scratch("instrumentation", NOW) as scratch:
        yield scratch


def run(tree: list[dict[str, Any]], every_trace: bool = False) -> tuple[list[Record], bytes]:
    """Spans one below the other: the start records while all are open, and the export of all when they ended."""
    kept, records = Kept(), []
    provider = TracerProvider(shutdown_on_exit=False, id_generator=Ids())
    provider.add_span_processor(SimpleSpanProcessor(kept))
    watch = Watch(100, None, every_trace)
    context, spans = None, []
    for number, one in enumerate(tree):
        tracer = provider.get_tracer(one.get("scope", "shop"))
        span = tracer.start_span(f"span {number}", context, attributes=one.get("attributes", {}))
        context = set_span_in_context(span)
        spans.append(span)
        watch.young[span.get_span_context().span_id] = _ref(span)
    watch.look(at_once=True)
    for watched in watch.untold():
        span_open = watched.still_open()
        assert span_open is not None
        start_ns = span_open.start_time or 0
        report, ids = watched.report, (watched.trace_id, watched.span_id)
        assert report is not None
        records.append(start_record(report, *ids, start_ns, span_open.resource))
        if report.beats:
            beat_ns = start_ns + 10**9
            records.append(heartbeat_record(report, *ids, beat_ns, span_open.resource))
    for span in reversed(spans):
        span.end()
    return records, encode_spans(kept.spans).SerializeToString()


def _ref(span: Any) -> Any:
    return lambda: span


def read(records: list[Record], namespace: str) -> list[StepEvent]:
    """The records as the collector reads them from their JSON."""
    found = read_records(logs_request(as_json(records, "0")), NOW, namespace)
    assert found.told() == ""
    return found.steps.events


def from_spans(store: Store, bodies: list[bytes], namespace: str) -> dict[str, dict[str, Any]]:
    """The starts that the collector makes of the spans, by event id."""
    store.insert_otlp([Body(body, CLOCK.now(), "sender", namespace) for body in bodies])
    store.fold(CLOCK.now())
    rows = store.select(
        f"SELECT {', '.join(SHARED)} FROM step_event_log FINAL "
        "WHERE endsWith(event_id, ':started') AND NOT is_replay AND namespace = {namespace:String}",
        {"namespace": namespace},
    )
    return {row["event_id"]: row for row in rows}


def starts(events: list[StepEvent]) -> dict[str, dict[str, Any]]:
    """The same of the log records."""
    found = {}
    for event in events:
        if event.event == "step.heartbeat":
            continue
        said = {name: getattr(event, name) for name in SHARED}
        said["attempt"] = event.attempt or 0
        said["sequence"] = -1 if event.sequence is None else event.sequence
        found[event.event_id] = said
    return found


def differences(told: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """By event id, the fields that are not the same; short enough to read."""
    none: dict[str, Any] = {}
    return {
        event_id: {
            name: (told.get(event_id, none).get(name), found.get(event_id, none).get(name))
            for name in SHARED
            if told.get(event_id, none).get(name) != found.get(event_id, none).get(name)
        }
        for event_id in told.keys() | found.keys()
        if told.get(event_id) != found.get(event_id)
    }


MARK = {"stallwatch.workflow": "order", "stallwatch.execution_id": "o-1", "stallwatch.step": "pay"}
ROOT = {"stallwatch.workflow": "order"}
TREES: dict[str, list[dict[str, Any]]] = {
    "marked below another": [{}, {"attributes": MARK}],
    "marked with an attempt": [{}, {"attributes": {**MARK, "stallwatch.attempt": 2}}],
    "all that can be said": [
        {},
        {
            "attributes": {
                **MARK,
                "stallwatch.attempt": "3",
                "stallwatch.step_run_id": "call",
                "stallwatch.run_id": "r",
                "stallwatch.engine": "own",
                "stallwatch.queue": "q",
                "stallwatch.downstream": "bank",
                "stallwatch.timeout_s": 2.5,
                "stallwatch.idempotency_key": "k",
                "stallwatch.sequence": 0,
            }
        },
    ],
    "a branch": [{}, {"attributes": {**MARK, "stallwatch.branch": "0.1"}}],
    "a branch below a root": [{"attributes": ROOT}, {"attributes": {"stallwatch.branch": 2}}],
    "lists": [
        {},
        {
            "attributes": {
                **MARK,
                "stallwatch.execution_id": ("a", "b/c", 'é"\\\n'),
                "stallwatch.run_id": (1, 2),
                "stallwatch.step": (True, False),
                "stallwatch.step_run_id": (),
                "stallwatch.branch": (2.0, 2.5),
            }
        },
    ],
    "an attempt in other digits": [{}, {"attributes": {**MARK, "stallwatch.attempt": "٣"}}],
    "an attempt with a sign": [{}, {"attributes": {**MARK, "stallwatch.attempt": "+3"}}],
    "an attempt beyond all bounds": [
        {},
        {"attributes": {**MARK, "stallwatch.attempt": "9" * 5000}},
    ],
    "a wait": [{}, {"attributes": {**MARK, "stallwatch.waiting_on": "signal"}}],
    "a root and what is below it": [{"attributes": ROOT}, {}, {}],
    "a root with an id": [{"attributes": {**ROOT, "stallwatch.execution_id": 7}}, {}],
    "a marked root": [{"attributes": MARK}, {}],
    "marked below a root": [{"attributes": ROOT}, {"attributes": MARK}, {}],
    "named below a root": [{"attributes": ROOT}, {"attributes": {"stallwatch.step": "pay"}}],
    "a wait below a root": [
        {"attributes": ROOT},
        {"attributes": {"stallwatch.waiting_on": "human"}},
    ],
    "an attempt below a root": [{"attributes": ROOT}, {"attributes": {"stallwatch.attempt": 2}}],
    "an engine's below a root": [{"attributes": ROOT}, {"scope": "prefect"}],
    "an engine's with a mark": [{}, {"scope": "durabletask", "attributes": MARK}],
    "nothing": [{}, {}],
}
_texts = st.one_of(
    st.sampled_from(["", "x", "1", "2.5", "0", "payments"]),
    st.integers(-2, 5),
    st.sampled_from([0.5, 2.0, 3.25]),
    st.booleans(),
    st.sampled_from([(), ("a", "b"), (1, 2)]),
)
_numbers = st.sampled_from(["", "x", "1", "2.5", "0", 0, 3, 0.5, 2.0, True])
_waits = st.sampled_from(["", "timer", "signal", "callback", "human", "child", "nothing known"])
_said = st.fixed_dictionaries(
    {},
    optional={
        f"stallwatch.{name}": values
        for names, values in {
            "workflow execution_id step run_id step_run_id branch queue downstream idempotency_key engine": _texts,
            "attempt timeout_s sequence": _numbers,
            "waiting_on": _waits,
        }.items()
        for name in names.split()
    },
)
_span = st.builds(
    lambda said, mark: {"attributes": mark | said}, _said, st.sampled_from([{}, MARK, ROOT])
)
_tree = st.lists(_span, min_size=1, max_size=3)


@pytest.mark.parametrize("name", TREES)
def test_log_record_and_span_tell_the_same_start(rooted_store: Store, name: str) -> None:
    namespace = f"same {name}"
    records, body = run(TREES[name])
    told = starts(read(records, namespace))
    found = from_spans(rooted_store, [body], namespace)
    if name == "an engine's below a root":
        # The trace turns out to be the engine's, and what was made of it is taken back.
        assert (bool(told), found) == (True, {})
    elif name == "an engine's with a mark":
        # It has a convention of its own, whose identities are not ours to guess.
        assert not told
    else:
        assert told == found
        assert bool(told) == (name != "nothing")


@settings(max_examples=12, deadline=None, phases=[Phase.generate])
@given(st.lists(_tree, min_size=4, max_size=24))
def test_whatever_is_said(rooted_store: Store, trees: list[list[dict[str, Any]]]) -> None:
    namespace = f"any {CLOCK.monotonic_s()}"
    ran = [run(tree) for tree in trees]
    told = starts([event for records, _ in ran for event in read(records, namespace)])
    assert differences(told, from_spans(rooted_store, [body for _, body in ran], namespace)) == {}


def test_the_start_and_the_span_are_one_attempt(rooted_store: Store) -> None:
    records, body = run(TREES["marked below a root"])
    rows = [EventRow(event, CLOCK.now(), "sender") for event in read(records, "one")]
    rooted_store.insert_event_rows(rows)
    rooted_store.fold(CLOCK.now())
    attempts = (
        "SELECT step, status, attempt, last_heartbeat_at FROM attempts "
        "WHERE namespace = 'one' ORDER BY step"
    )
    open_ones = rooted_store.select(attempts)
    assert [(row["step"], row["status"]) for row in open_ones] == [
        ("pay", "running"),
        ("span 2", "running"),
    ]
    assert all(row["last_heartbeat_at"] is not None for row in open_ones)
    rooted_store.insert_otlp([Body(body, CLOCK.now() + timedelta(seconds=1), "sender", "one")])
    rooted_store.fold(CLOCK.now() + timedelta(seconds=1))
    closed = rooted_store.select(attempts)
    assert [(row["step"], row["status"], row["attempt"]) for row in closed] == [
        ("pay", "completed", 1),
        ("span 2", "completed", 1),
    ]
    executions = "SELECT workflow, execution_id, status FROM executions WHERE namespace = 'one'"
    assert sorted(str(row["status"]) for row in rooted_store.select(executions)) == [
        "completed",
        "running",
    ]


@pytest.mark.parametrize("name", ["a branch", "a branch below a root", "lists"])
def test_nothing_stays_open_when_the_span_ends(rooted_store: Store, name: str) -> None:
    namespace = f"ended {name}"
    records, body = run(TREES[name])
    rows = [EventRow(event, CLOCK.now(), "sender") for event in read(records, namespace)]
    rooted_store.insert_event_rows(rows)
    rooted_store.insert_otlp([Body(body, CLOCK.now(), "sender", namespace)])
    rooted_store.fold(CLOCK.now())
    found = rooted_store.select(
        "SELECT status FROM attempts WHERE namespace = {namespace:String}", {"namespace": namespace}
    )
    assert [row["status"] for row in found] == ["completed"]


def test_every_trace_is_an_execution_where_the_collector_says_so(rooted_store: Store) -> None:
    records, _ = run([{}, {}], every_trace=True)
    events = read(records, "every")
    assert [(e.event, e.workflow, e.step) for e in events] == [
        ("workflow.started", "span 0", ""),
        ("step.started", "span 0", "span 1"),
        ("step.heartbeat", "span 0", "span 1"),
    ]
    assert {e.execution_id for e in events} == {events[0].trace_id}
