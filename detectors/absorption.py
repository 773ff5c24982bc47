"""One trouble, one finding: what follows from a deeper cause is not told a second time.

Which detector gives way to which stands with the detector itself (`absorbed_by`); here is what that
means for its executions. Different troubles stay apart: exhausted retries beside a failed execution,
a retry storm beside both.
"""

from collections.abc import Iterable

from detectors.detector import ExecutionKey
from stallwatch.model.findings import Finding, Observation


def explained_by(causes: Iterable[Observation | Finding]) -> frozenset[ExecutionKey]:
    """The executions whose trouble these tell already.

    An observation names all of its executions here; only the finding is cut short.
    """
    return frozenset(
        (cause.namespace, cause.engine, execution_id)
        for cause in causes
        for execution_id in cause.executions
    )


def flooded_by(causes: Iterable[Observation | Finding]) -> frozenset[tuple[str, str, str]]:
    """The workflows of which these count more executions than they name."""
    return frozenset(
        (cause.namespace, cause.engine, cause.workflow)
        for cause in causes
        if cause.workflow and cause.count > len(cause.executions)
    )


def waiting_for(causes: Iterable[Observation]) -> frozenset[tuple[ExecutionKey, str]]:
    """The steps of executions that only wait for what these observations tell."""
    return frozenset(
        ((cause.namespace, cause.engine, execution_id), step)
        for cause in causes
        for execution_id in cause.executions
        for step in cause.waiting_steps
    )


def silent_senders_of(said: Iterable[Observation], skipped: Iterable[Finding]) -> frozenset[str]:
    """The senders whose data has stopped, by what is said of them now; where that could not be asked, by their
    findings."""
    found = (one.evidence["sender"] for one in skipped if one.detector == "telemetry_silence")
    return frozenset((*(one.key for one in said), *map(str, found)))
