"""`steps`, `executions`, `trace`, `findings`: looking at what is stored."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from dashboards import reading
from dashboards.reading import EXECUTION_STATUSES, LIMIT_MAX, STEP_STATUSES, Filters
from stallwatch.app.access import reading_store
from stallwatch.cli.common import (
    CLOCK,
    ConfigOption,
    EngineOption,
    Format,
    FormatOption,
    NamespaceOption,
    SinceOption,
    StatusOption,
    StepOption,
    UntilOption,
    WorkflowOption,
    cell,
    err,
    out,
    period,
    print_json,
    print_rows,
    settings_from,
)
from stallwatch.errors import UsageError
from stallwatch.model.durations import format_duration
from stallwatch.model.findings import Status
from stallwatch.model.findings_json import finding_to_json

STEP_COLUMNS = (
    "namespace", "engine", "workflow", "step", "n", "open", "failed", "timed_out", "retried",
    "p50_s", "p95_s", "p99_s",
)  # fmt: skip
EXECUTION_COLUMNS = (
    "namespace", "engine", "workflow", "execution_id", "run_id", "status", "started_at",
    "duration_s", "open_steps", "attempts", "error_type",
)  # fmt: skip
ATTEMPT_COLUMNS = (
    "step", "branch", "attempt", "status", "started_at", "queue_s", "duration_s", "waiting_on",
    "worker", "error_type",
)  # fmt: skip
FINDING_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
WINDOWS: Final = {60: "minutes", 3600: "hours", 86400: "days"}
TABLE_ROWS: Final = 100
STEPS_SINCE: Final = "-7d"
NOW: Final = "now"
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        max=LIMIT_MAX,
        help=f"At most so many. Default: {TABLE_ROWS} in a table, {LIMIT_MAX:,} as JSON.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (steps, executions, trace, findings):
        app.command()(command)


def steps(
    namespace: NamespaceOption = "",
    engine: EngineOption = "",
    workflow: WorkflowOption = "",
    step: StepOption = "",
    status: StatusOption = "",
    since: SinceOption = STEPS_SINCE,
    until: UntilOption = NOW,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Every step with its percentiles, failures and what is open.

    --status wants the steps that have an attempt in it: open, scheduled, running, waiting, backing_off, completed,
    failed, timed_out, cancelled.
    """
    _check_status(status, STEP_STATUSES)
    filters = _filters(namespace, engine, workflow, step, status, since, until)
    now = CLOCK.now()
    with reading_store(settings_from(config), CLOCK) as store:
        rows = reading.steps(store, filters, now)
    print_rows(rows, STEP_COLUMNS, format_, "No steps.")
    asked = [cell("at", when) for when in (filters.since, filters.until)]
    counted = [cell("at", when) for when in reading.counted(filters, now)]
    # Who asks for no time in particular does not care for an hour.
    is_usual = (since, until) == (STEPS_SINCE, NOW)
    if format_ is Format.TABLE and counted != asked and not is_usual:
        width = WINDOWS[reading.window_for(filters, now)]
        err().print(f"In whole {width}: {' to '.join(counted)} UTC.", highlight=False)


def executions(
    namespace: NamespaceOption = "",
    engine: EngineOption = "",
    workflow: WorkflowOption = "",
    step: StepOption = "",
    status: StatusOption = "",
    since: SinceOption = "-7d",
    until: UntilOption = "now",
    limit: LimitOption = None,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Executions that were alive in the interval, the latest first."""
    _check_status(status, EXECUTION_STATUSES)
    most = limit or (LIMIT_MAX if format_ is Format.JSON else TABLE_ROWS)
    filters = _filters(namespace, engine, workflow, step, status, since, until, most)
    with reading_store(settings_from(config), CLOCK) as store:
        rows = reading.executions(store, filters)
    print_rows(rows, EXECUTION_COLUMNS, format_, "No executions.")
    if len(rows) == most and limit is None:
        more = "--limit shows more" if most < LIMIT_MAX else "--until shows earlier ones"
        err().print(f"These are the latest {most:,}; {more}.", highlight=False)


def trace(
    execution_id: Annotated[str, typer.Argument(help="The execution to show.")],
    run: Annotated[str, typer.Option("--run", help="Only this run.")] = "",
    namespace: NamespaceOption = "",
    engine: EngineOption = "",
    workflow: WorkflowOption = "",
    step: StepOption = "",
    status: StatusOption = "",
    since: SinceOption = "",
    until: UntilOption = "",
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """One execution: its runs, their attempts and events.

    --step leaves out the attempts and events of other steps, the other filters choose runs.
    """
    _check_status(status, EXECUTION_STATUSES)
    filters = _filters(namespace, engine, workflow, step, status, since, until)
    with reading_store(settings_from(config), CLOCK) as store:
        runs = reading.execution(store, execution_id, run, filters)
    if not runs:
        asked = {
            "run": run, "namespace": namespace, "engine": engine, "workflow": workflow,
            "status": status, "since": since, "until": until,
        }  # fmt: skip
        given = [f"{name} {value!r}" for name, value in asked.items() if value]
        raise UsageError(", ".join([f"there is no execution {execution_id!r}", *given]))
    if format_ is Format.JSON:
        print_json(runs)
        return
    for one in runs:
        _print_run(one)


def findings(
    namespace: NamespaceOption = "",
    engine: EngineOption = "",
    workflow: WorkflowOption = "",
    step: StepOption = "",
    status: StatusOption = "",
    detector: Annotated[str, typer.Option("--detector", help="Only of this detector.")] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    firing: Annotated[
        bool, typer.Option("--firing", help="Only what fires now; exit status 1 if something does.")
    ] = False,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """What detectors say now (--status resolved: what is over)."""
    _check_status(status, [one.value for one in Status])
    first, last = period(since, until)
    filters = Filters(
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        status=Status.FIRING.value if firing else status,
        detector=detector,
        limit=1000,
    )
    with reading_store(settings_from(config), CLOCK) as store:
        found = reading.findings(store, filters)
    found = [one for one in found if one.last_seen >= first and one.first_seen < last]
    print_findings([finding_to_json(one) for one in found], format_)
    if firing and found:
        raise typer.Exit(1)


def print_findings(rows: list[dict[str, Any]], format_: Format) -> None:
    """Findings as JSON, or each as a short text."""
    if format_ is Format.JSON:
        print_json(rows)
        return
    console = out()
    if not rows:
        console.print("Nothing found.")
    for row in rows:
        style = FINDING_STYLES.get(row["severity"], "")
        title = Text()
        title.append(f"{row['severity'].upper()} {row['status']} ", style=style)
        title.append(cell("title", row["title"]), style="bold")
        title.append(f"  {row['detector']}", style="dim")
        console.print(title)
        console.print(Text("  " + cell("explanation", row["explanation"])))
        for hint in row["next_steps"]:
            console.print(Text("  → " + cell("next", hint), style="dim"))
        console.print()


def _print_run(run: dict[str, Any]) -> None:
    console = out()
    title = Text(cell("id", run["execution_id"]), style="bold")
    title.append(
        f"  {cell('w', run['workflow'])}  {cell('e', run['engine'])}  {run['status']}", style=""
    )
    console.print(title)
    parts = [f"started {cell('at', run['started_at'])} UTC"]
    if run["ended_at"] is not None:
        parts.append(f"took {format_duration(run['duration_s'])}")
    if run["run_id"]:
        parts.append(f"run {cell('run', run['run_id'])}")
    if run["trace_id"]:
        parts.append(f"trace {cell('id', run['trace_id'])}")
    if run["error_type"]:
        parts.append(f"error {cell('e', run['error_type'])}: {cell('e', run['error_message'])}")
    console.print(Text(", ".join(parts), style="dim"))
    print_rows(run["attempt_list"], ATTEMPT_COLUMNS, Format.TABLE, "No attempts.")
    console.print()


def _filters(
    namespace: str, engine: str, workflow: str, step: str, status: str, since: str, until: str, limit: int = LIMIT_MAX
) -> Filters:  # fmt: skip
    first, last = period(since, until)
    return Filters(
        namespace=namespace,
        engine=engine,
        workflow=workflow,
        step=step,
        status=status,
        since=first,
        until=last,
        limit=limit,
    )


def _check_status(status: str, allowed: Sequence[str]) -> None:
    if status and status not in allowed:
        raise UsageError(f"--status: must be one of {', '.join(allowed)}, not {status!r}")
