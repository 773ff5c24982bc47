"""`[[engines.definition]]`: what is declared of a step that no engine tells."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from stallwatch.config.fields import DurationS, Section
from stallwatch.model.definitions import Definition
from stallwatch.model.events import WAITS


def _wait(value: str) -> str:
    if value and value not in WAITS:
        raise ValueError(f"must be one of {', '.join(sorted(WAITS))}")
    return value


Name = Annotated[str, Field(min_length=1)]
Limit = Annotated[DurationS, Field(gt=0)]


class DeclaredStep(Section):
    """One step's declaration, or with an empty `step` the workflow's. What is left out is not declared."""

    workflow: Name
    step: str = ""
    engine: Name = "custom"
    namespace: Name = "default"
    workflow_version: str = ""
    """Empty: of every version that declares nothing of its own."""
    timeout: Limit | None = None
    heartbeat_timeout: Limit | None = None
    schedule_to_start_timeout: Limit | None = None
    schedule_to_close_timeout: Limit | None = None
    max_attempts: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """All attempts, the first included; 0: without end."""
    backoff: DurationS | None = None
    """The pause before the second attempt."""
    backoff_rate: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """How many times longer each further pause is."""
    backoff_max: DurationS | None = None
    waiting_on: Annotated[str, AfterValidator(_wait)] = ""
    """What the step waits for: such a step is never called stalled."""
    compensated_by: str = ""
    """The step that undoes this one."""
    downstream: str = ""

    @model_validator(mode="after")
    def _declares_something(self) -> Self:
        said = self.model_dump(
            exclude={"workflow", "step", "engine", "namespace", "workflow_version"}
        )
        if all(value is None or value == "" for value in said.values()):
            raise ValueError("nothing is declared: write a timeout, max_attempts or another limit")
        return self

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """Of which step of what this is."""
        return (self.namespace, self.engine, self.workflow, self.workflow_version, self.step)

    def definition(self) -> Definition:
        """As the view `definitions` shows it."""
        return Definition(
            namespace=self.namespace,
            engine=self.engine,
            workflow=self.workflow,
            workflow_version=self.workflow_version,
            step=self.step,
            source="configuration",
            timeout_s=self.timeout,
            heartbeat_timeout_s=self.heartbeat_timeout,
            schedule_to_start_timeout_s=self.schedule_to_start_timeout,
            schedule_to_close_timeout_s=self.schedule_to_close_timeout,
            max_attempts=self.max_attempts,
            backoff_s=self.backoff,
            backoff_rate=self.backoff_rate,
            backoff_max_s=self.backoff_max,
            waiting_on=self.waiting_on,
            compensated_by=self.compensated_by,
            downstream=self.downstream,
        )
