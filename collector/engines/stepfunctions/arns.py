"""What Amazon resource names of Step Functions say.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
"""

import re
from typing import Final, NamedTuple

_EXECUTION: Final = re.compile(
    r"arn:[\w-]+:states:(?P<region>[\w-]*):\d*:(execution|express):(?P<machine>[^:]+):(?P<name>[^:]+)(:[^:]+)?"
)
_QUALIFIED: Final = re.compile(
    r"arn:[\w-]+:states:[\w-]*:\d*:stateMachine:[^:]+:(?P<qualifier>[^:]+)"
)


class Execution(NamedTuple):
    """The state machine of an execution, with the label of the Map state if it is a child of a map run."""

    machine: str
    region: str


def execution(arn: str) -> Execution | None:
    """`…:execution:machine:name`, `…:execution:machine/label:name`, `…:express:machine:name:id`; None for all else."""
    found = _EXECUTION.fullmatch(arn)
    return Execution(found["machine"], found["region"]) if found else None


def qualifier(arn: str) -> str:
    """The version or alias of `…:stateMachine:machine:qualifier`; empty if it has none."""
    found = _QUALIFIED.fullmatch(arn)
    return found["qualifier"] if found else ""
