"""What a Task calls: its `Resource`, and what it passes, to a downstream like `lambda:charge` or `sqs:orders`."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

CALLBACK: Final = ".waitForTaskToken"
_LAMBDA: Final = re.compile(r"arn:[\w-]+:lambda:[^:]*:[^:]*:function:(?P<name>[^:]+)")
_ACTIVITY: Final = re.compile(r"arn:[\w-]+:states:[^:]*:[^:]*:activity:(?P<name>[^:]+)")
_INTEGRATION: Final = re.compile(
    r"arn:[\w-]+:states:[^:]*:[^:]*:(?P<service>(aws-sdk:)?[\w-]+):(?P<action>[\w.:-]+)"
)
_TARGETS: Final = (
    "FunctionName", "QueueUrl", "TopicArn", "TableName", "StateMachineArn", "ApiEndpoint", "JobName",
    "ProjectName", "TaskDefinition", "Bucket", "StreamName", "EventBusName", "ModelId", "ClusterName",
)  # fmt: skip
"""The parameters that name what is called, in the order in which they are looked for."""
_NAME_MAX: Final = 200


class Call(NamedTuple):
    """`service` as AWS names it in a task's `resourceType`; `action` as in its `resource`."""

    service: str
    action: str
    downstream: str


def call(resource: str, parameters: object = None) -> Call:
    """What the `Resource` of a Task means, with its `Parameters` or `Arguments` if there are any.

    https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
    """
    if found := _LAMBDA.match(resource):
        return Call("lambda", "invoke", f"lambda:{found['name']}")
    if found := _ACTIVITY.match(resource):
        return Call("activity", "", f"activity:{found['name']}")
    if found := _INTEGRATION.match(resource):
        service, action = found["service"], found["action"]
        return Call(service, action, downstream(service, parameters))
    # A template's placeholder names nothing.
    return Call("", "", "" if "${" in resource else resource[:_NAME_MAX])


def downstream(service: str, parameters: object) -> str:
    """`lambda:charge`, `sqs:orders`, `http:api.example.com`; the service alone where its target is not known."""
    service = service.removeprefix("aws-sdk:")
    target = _target(parameters) if isinstance(parameters, Mapping) else ""
    return f"{service}:{target}" if target else service


def _target(parameters: Mapping[str, Any]) -> str:
    for name in _TARGETS:
        value = parameters.get(name)
        if isinstance(value, str) and value and not value.startswith(("$", "{%")):
            return _short(value)[:_NAME_MAX]
    return ""


def _short(value: str) -> str:
    """A name out of an ARN, a queue's URL or an endpoint."""
    if found := _LAMBDA.match(value):
        return found["name"]
    if value.startswith("arn:"):
        return value.split(":", 5)[-1].rpartition(":")[2].rpartition("/")[2]
    if value.startswith(("http://", "https://")):
        try:
            parts = urlsplit(value)
        except ValueError:
            return ""
        is_queue = "sqs" in parts.netloc or re.fullmatch(r"/\d{12}/[\w.-]+", parts.path)
        return parts.path.rpartition("/")[2] if is_queue else parts.hostname or ""
    return value
