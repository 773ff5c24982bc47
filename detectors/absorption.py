"""One trouble, one finding: what follows from a deeper cause is not told a second time.

Which detector gives way to which stands with the detector itself (`absorbed_by`); here is what that
means for its executions. Different troubles stay apart: exhausted retries beside a failed execution,
a retry storm beside both.
"""

from collections.abc import Iterable

from detectors.detector import ExecutionKey
from stallwatch.model.findings import Observation


def explained_by(causes: Iterable[Observation]) -> frozenset[ExecutionKey]:
    """The executions whose trouble these observations tell already.

    An observation names all of its executions here; only the finding is cut short.
    """
    return frozenset(
        (cause.namespace, cause.engine, execution_id)
        for cause in causes
        for execution_id in cause.executions
    )
