"""The conventions: how the spans of each engine become step events. One `.sql` file a convention.

A file here is a function, or a materialized view from `span_flow` to `step_event_log` that sees one span at a time. A
file in `traces/` is a statement over whole traces, run at each fold over those touched since the last one. To add an
engine's spans, add a file, and name the engine in `00_engine_of_span.sql`.
"""

from importlib.resources import files

from stallwatch.store.definitions import Definition, read_folder


def conventions() -> list[Definition]:
    """The functions and materialized views, in the order in which they have to be made."""
    return read_folder(files(__name__), "conventions", replaceable=True)


def trace_conventions() -> list[str]:
    """The statements over touched traces, in the order in which they have to run.

    Their parameters: `after` and `upto` (batches, half-open below: `(after, upto]`), `batch` (the number for what they
    write) and `generic_services` (globs of service names).
    """
    return [
        definition.sql
        for definition in read_folder(
            files(__name__) / "traces", "conventions/traces", replaceable=False
        )
    ]
