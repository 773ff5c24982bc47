"""`detect`, `check` and `replay`: detectors asked once, over scenario files, and over stored history."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.text import Text

from stallwatch.app import replaying
from stallwatch.app.access import DETECT_TIMEOUT_S, REPLAY_TIMEOUT_S, ask, own_store, serving
from stallwatch.app.replay.scoring import replayed
from stallwatch.app.scenarios import temporary_store
from stallwatch.cli.common import (
    CLOCK,
    ConfigOption,
    Format,
    FormatOption,
    err,
    out,
    print_json,
    print_rows,
    settings_from,
    time_option,
)
from stallwatch.cli.reading import print_findings
from stallwatch.errors import UsageError
from stallwatch.model.durations import parse_duration_s, rfc3339
from stallwatch.model.findings import DETECTOR_IDS
from stallwatch.model.findings_json import finding_to_json
from stallwatch.model.plain_text import harmless
from stallwatch.simulator.scenario import Scenario, load_scenario
from stallwatch.simulator.spec import read_text

_SCORE_COLUMNS: Final = (
    "detector",
    "findings",
    "executions",
    "true",
    "false_alarms",
    "false_alarms_per_week",
    "unknown",
    "age_p50_s",
    "delay_ratio_p50",
)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(detect)
    app.command()(check)
    app.command()(replay)


def detect(
    at: Annotated[str, typer.Option("--at", help="As of this time.")] = "now",
    detector: Annotated[str, typer.Option("--detector", help="Only this detector.")] = "",
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Run detectors once over what was received before a time. Writes and alerts nothing.

    Works on a scratch copy with 24 hours of warm-up. Exit status 1 if something fires.
    """
    if detector and detector not in DETECTOR_IDS:
        raise UsageError(
            f"--detector: there is no {detector!r}; there are {', '.join(DETECTOR_IDS)}"
        )
    settings = settings_from(config)
    when = time_option("--at", at)
    only = [detector] if detector else None
    holder = serving(settings)
    rows: list[dict[str, Any]]
    with err().status("Asking the detectors …"):
        if holder is not None:
            rows = ask(holder, "detect", DETECT_TIMEOUT_S, at=rfc3339(when), only=only)
        else:
            with own_store(settings, CLOCK) as store:
                found = replaying.detect_at(
                    store,
                    when,
                    settings.detectors,
                    only,
                    now=CLOCK.now(),
                    retention_s=settings.store.retention.events,
                )
            rows = [finding_to_json(finding) for finding in found]
    print_findings(rows, format_)
    if any(row["status"] == "firing" for row in rows):
        raise typer.Exit(1)


def check(
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files, or folders of them.")],
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Run scenario files: detectors over written stories, held against what the files expect.

    Exit status 1 if an expectation failed, 2 if a file is wrong.
    """
    settings_from(config)
    files = _scenario_files(scenarios)
    loaded = [load_scenario(path) for path in files]
    results: list[dict[str, Any]] = []
    console = err()
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with temporary_store(CLOCK) as store, bar as progress:
        task = progress.add_task("Checking", total=len(loaded))
        for path, scenario in zip(files, loaded, strict=True):
            progress.update(task, description=escape(path.name))
            results.append(_checked(path, scenario, replaying.run_scenario(store, scenario)))
            if format_ is Format.TABLE:
                _print_result(results[-1])
            progress.advance(task)
    failed = sum(not result["passed"] for result in results)
    if format_ is Format.JSON:
        print_json(results)
    else:
        out().print(f"{len(results) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def replay(
    since: Annotated[
        str, typer.Option("--since", help="Judge from then on; what was before teaches.")
    ],
    until: Annotated[str, typer.Option("--until", help="Up to then.")] = "now",
    every: Annotated[
        str,
        typer.Option("--every", help="Time between two ticks; default: 300 ticks, 5s at least."),
    ] = "",
    detector: Annotated[str, typer.Option("--detector", help="Only this detector.")] = "",
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect", help="A file with `expect` as in a scenario, counted from --since."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Also list each finding and its fate.")
    ] = False,
    format_: FormatOption = Format.TABLE,
    config: ConfigOption = None,
) -> None:
    """Play stored history to the detectors again: a scorecard of findings, delays and false alarms.

    Works on a scratch copy; writes and alerts nothing. Exit status 1 if an expectation failed.
    """
    if detector and detector not in DETECTOR_IDS:
        raise UsageError(
            f"--detector: there is no {detector!r}; there are {', '.join(DETECTOR_IDS)}"
        )
    settings = settings_from(config)
    asked = {
        "since": rfc3339(time_option("--since", since)),
        "until": rfc3339(time_option("--until", until)),
        "every_s": parse_duration_s(every) if every else None,
        "only": [detector] if detector else None,
        "expect": None if expect is None else {"file": str(expect), "text": read_text(expect)},
    }
    holder = serving(settings)
    if holder is not None:
        with err().status("Replaying …"):
            answer = ask(holder, "replay", REPLAY_TIMEOUT_S, **asked)
    else:
        with own_store(settings, CLOCK) as store, _replay_bar() as progress:
            answer = replayed(store, settings, CLOCK.now(), asked, progress)
    print_scorecard(answer["scorecard"], format_, show)
    for problem in answer["problems"]:
        err().print(Text(harmless(problem)), style="red", soft_wrap=True)
    if answer["problems"]:
        raise typer.Exit(1)


@contextmanager
def _replay_bar() -> Iterator[Callable[[float], None]]:
    console = err()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Replaying", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def print_scorecard(rows: list[dict[str, Any]], format_: Format, show: bool) -> None:
    """The scorecard of a replay; `show`: with each finding, and what became of it."""
    if format_ is Format.JSON:
        print_json(rows)
        return
    told = [row for row in rows if row["findings"]]
    print_rows(told, _SCORE_COLUMNS, format_, "Nothing was found.")
    for row in rows:
        if "coverage" in row and row["coverage"] is not None:
            out().print(
                f"{row['attempts']:,} attempts, {100 * row['coverage']:.3g} % of them of steps with a limit; "
                f"{row['missed']:,} that outlived theirs were not called."
            )
    for row in told if show else ():
        print_rows(row["found"], ("fired_at", "ended_at", "title"), format_, "")


def _checked(path: Path, scenario: Scenario, result: replaying.ScenarioResult) -> dict[str, Any]:
    firing = [
        {
            "at": rfc3339(expectation.at),
            "offset_s": expectation.offset_s,
            "findings": [finding_to_json(finding) for finding in found],
        }
        for expectation, found in zip(scenario.expectations, result.firing, strict=True)
    ]
    return {
        "file": str(path),
        "name": scenario.name,
        "passed": result.passed,
        "problems": list(result.problems),
        "firing": firing,
        "seconds": round(result.seconds, 3),
    }


def _print_result(result: dict[str, Any]) -> None:
    console = out()
    line = Text()
    line.append(
        "ok   " if result["passed"] else "FAIL ", "green" if result["passed"] else "bold red"
    )
    line.append(f"{result['file']}  ")
    line.append(f"{result['name']} ({result['seconds']:.1f}s)", "dim")
    console.print(line, soft_wrap=True)
    for problem in result["problems"]:
        console.print(Text(f"     {harmless(problem)}"), soft_wrap=True)


def _scenario_files(paths: list[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        elif path.exists():
            files.append(path)
        else:
            raise UsageError(f"{path}: there is no such file")
    if not files:
        raise UsageError("there are no scenario files (*.yaml) there")
    return files
