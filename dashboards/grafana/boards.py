"""The five dashboards."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards.grafana.board import board, curves, number, rows

WINDOWS: Final = (
    "Per minute where at most 6 hours of the last 48 are shown, per hour where at most 14 days of the last 35 are, "
    "else per day: finer is not kept. The first minute, hour or day may have begun before what is shown."
)


def executions() -> Dashboard:
    """How many run, end well, end badly, and how long they take."""
    return (
        board(
            "stallwatch-executions",
            "Stallwatch: executions",
            "What runs, what ended and how, and what has been running longest.",
            variables=("namespace", "engine", "workflow"),
        )
        .with_panel(number("Running", "executions_running"))
        .with_panel(number("Suspended", "executions_suspended"))
        .with_panel(number("Completed", "executions_completed"))
        .with_panel(number("Failed", "executions_failed", alarming=True))
        .with_panel(curves("Started", "executions_started", "short", bars=True))
        .with_panel(curves("Ended", "executions_ended", "short", bars=True))
        .with_panel(curves("Duration of completed executions", "executions_duration", "s").span(24))
        .with_panel(rows("Open longest", "executions_longest", ("age_s", "waited_s")))
        .with_panel(rows("Lately failed", "executions_lately_failed", ("duration_s",)))
    )


def step_latency() -> Dashboard:
    """Percentiles per step, time in queues, and timeouts against what was measured."""
    told = f"Of completed attempts, from log-histograms: at most 1.1 % off. {WINDOWS}"
    return (
        board(
            "stallwatch-step-latency",
            "Stallwatch: step latency",
            "How long steps take, how long they queue, and what their timeouts should be.",
        )
        .with_panel(curves("p50", "step_p50", "s", told))
        .with_panel(curves("p95", "step_p95", "s", told))
        .with_panel(curves("p99", "step_p99", "s", told))
        .with_panel(curves("Time in queue, p95", "step_queue", "s"))
        .with_panel(rows("Open now", "step_open", ("oldest_s",)))
        .with_panel(
            rows(
                "Recommended timeouts",
                "step_recommendations",
                (
                    "current_timeout_s", "recommended_timeout_s", "guidance_timeout_s", "p50_s",
                    "p99_s", "p99_low_s", "p99_high_s", "stuck_s_saved",
                ),
            )
        )
    )  # fmt: skip


def retries_and_errors() -> Dashboard:
    """What fails, what is tried again, and with which errors."""
    return (
        board(
            "stallwatch-retries-and-errors",
            "Stallwatch: retries and errors",
            "Failed, timed out and repeated attempts, by step and by error.",
        )
        .with_panel(
            curves("Attempts by outcome", "errors_outcomes", "short", WINDOWS, bars=True).span(24)
        )
        .with_panel(
            curves("Share that fails or times out", "errors_failure_share", "percentunit", WINDOWS)
        )
        .with_panel(curves("Share that is a retry", "errors_retry_share", "percentunit", WINDOWS))
        .with_panel(rows("Errors", "errors_types"))
        .with_panel(rows("Most attempts", "errors_most_attempts"))
    )


def stalls() -> Dashboard:
    """What is stuck now."""
    return (
        board(
            "stallwatch-stalls",
            "Stallwatch: stalls",
            "What the detectors say, which incidents are open, and what has been open longest.",
        )
        .with_panel(number("Critical", "stalls_critical", alarming=True))
        .with_panel(number("Warning", "stalls_warning", alarming=True))
        .with_panel(number("Suspected", "stalls_suspected"))
        .with_panel(number("Open incidents", "stalls_open_incidents", alarming=True))
        .with_panel(rows("Firing now", "stalls_firing"))
        .with_panel(rows("Open longest", "stalls_oldest_open", ("age_s", "timeout_s")))
        .with_panel(curves("Findings by when they began", "stalls_by_detector", "short", bars=True))
        .with_panel(rows("Incidents", "stalls_incidents").span(12).height(9))
    )


def ingest_health() -> Dashboard:
    """Who sends, how much, how late, and what was refused."""
    return (
        board(
            "stallwatch-ingest-health",
            "Stallwatch: ingest health",
            "Whether telemetry arrives: who sends, how late, and what was refused or quarantined.",
            variables=("namespace", "engine"),
        )
        .with_panel(number("Quiet for 5 minutes", "ingest_silent", alarming=True))
        .with_panel(number("Rejected", "ingest_rejected", alarming=True))
        .with_panel(number("Quarantined", "ingest_quarantined", alarming=True))
        .with_panel(number("Spooled", "ingest_spooled", alarming=True))
        .with_panel(curves("Step events", "ingest_events", "eps"))
        .with_panel(curves("Spans", "ingest_spans", "short"))
        .with_panel(curves("Lag, p95", "ingest_lag", "s").span(24))
        .with_panel(rows("Senders", "ingest_senders", ("silent_s", "lag_s", "skew_s")))
    )
