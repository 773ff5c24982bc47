"""Definitions in the Amazon States Language: what they declare of each state."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.engines.reading import Hints
from collector.engines.stepfunctions.asl import definitions
from collector.engines.stepfunctions.calls import call
from stallwatch.errors import InputError
from stallwatch.model.definitions import Definition

HINTS: Final = Hints(datetime(2026, 11, 22, 12, tzinfo=UTC), namespace="shop", workflow="order")
STATES: Final = "arn:aws:states:eu-west-1:123456789012"
INVOKE: Final = "arn:aws:states:::lambda:invoke"


def read(asl: object, hints: Hints = HINTS) -> dict[str, Definition]:
    """By step; the state machine itself is at the empty one."""
    found = definitions(asl, hints)
    by_step = {one.step: one for one in found}
    assert len(by_step) == len(found)
    return by_step


def machine(*, start: str = "", **states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": start or next(iter(states)), "States": states}


def task(**fields: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": INVOKE, "End": True, **fields}


ORDER: Final = {
    "StartAt": "Reserve",
    "TimeoutSeconds": 3600,
    "States": {
        "Reserve": task(
            End=False,
            Next="Pay",
            Parameters={"FunctionName": "arn:aws:lambda:eu-west-1:123456789012:function:reserve:live"},
            TimeoutSeconds=30,
            Retry=[
                {"ErrorEquals": ["Lambda.TooManyRequests"], "MaxAttempts": 6},
                {
                    "ErrorEquals": ["States.ALL"],
                    "IntervalSeconds": 2,
                    "MaxAttempts": 4,
                    "BackoffRate": 1.5,
                    "MaxDelaySeconds": 20,
                    "JitterStrategy": "FULL",
                },
            ],
        ),
        "Pay": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {
                "QueueUrl": "https://sqs.eu-west-1.amazonaws.com/123456789012/payments",
                "MessageBody": {"token.$": "$$.Task.Token"},
            },
            "TimeoutSecondsPath": "$.patience",
            "HeartbeatSeconds": 60,
            "Catch": [
                {"ErrorEquals": ["States.Timeout", "Declined"], "Next": "Release"},
                {"ErrorEquals": ["States.ALL"], "Next": "Release"},
            ],
            "Next": "Which",
        },
        "Release": task(
            Comment="Compensates Reserve.", Parameters={"FunctionName.$": "$.release"}, Next="Sorry", End=False
        ),
        "Sorry": {"Type": "Fail", "Error": "NotPaid"},
        "Which": {
            "Type": "Choice",
            "Choices": [
                {"Variable": "$.gift", "BooleanEquals": True, "Next": "Wrap"},
                {"Variable": "$.far", "BooleanEquals": True, "Next": "Cool"},
            ],
            "Default": "Pack",
        },
        "Wrap": {"Type": "Pass", "Next": "Pack"},
        "Cool": {"Type": "Wait", "Seconds": 2592000, "Next": "Pack"},
        "Pack": {
            "Type": "Parallel",
            "End": True,
            "Branches": [
                machine(
                    Label=task(
                        Resource="arn:aws:states:::states:startExecution.sync:2",
                        Parameters={"StateMachineArn": f"{STATES}:stateMachine:label"},
                    )
                ),
                machine(
                    Items={
                        "Type": "Map",
                        "MaxConcurrency": 5,
                        "Iterator": machine(Item=task(Resource=f"{STATES}:activity:pack")),
                        "End": True,
                    }
                ),
            ],
        },
    },
}  # fmt: skip


def test_the_state_machine_is_the_empty_step() -> None:
    whole = read(ORDER)[""]
    assert (whole.engine, whole.workflow, whole.namespace) == ("stepfunctions", "order", "shop")
    assert (whole.kind, whole.source, whole.timeout_s) == ("StateMachine", "asl", 3600)
    assert whole.next == ("Reserve",)


def test_every_state_is_there_those_inside_of_others_too() -> None:
    found = read(ORDER)
    assert {step: (one.kind, one.inside) for step, one in found.items() if step} == {
        "Reserve": ("Task", ""),
        "Pay": ("Task", ""),
        "Release": ("Task", ""),
        "Sorry": ("Fail", ""),
        "Which": ("Choice", ""),
        "Wrap": ("Pass", ""),
        "Cool": ("Wait", ""),
        "Pack": ("Parallel", ""),
        "Label": ("Task", "Pack"),
        "Items": ("Map", "Pack"),
        "Item": ("Task", "Items"),
    }


def test_what_a_task_declares() -> None:
    reserve = read(ORDER)["Reserve"]
    assert (reserve.timeout_s, reserve.heartbeat_timeout_s) == (30, None)
    assert (reserve.downstream, reserve.waiting_on) == ("lambda:reserve", "")
    assert reserve.next == ("Pay",)
    # The rule for all errors stands for both; all attempts are one more than the retries.
    assert (reserve.max_attempts, reserve.backoff_s, reserve.backoff_rate) == (5, 2, 1.5)
    assert (reserve.backoff_max_s, reserve.jitter) == (20, True)
    assert reserve.retries == ("Lambda.TooManyRequests", "States.ALL")
    assert [rule["attempts"] for rule in json.loads(reserve.attributes["retry"])] == [7, 5]


def test_a_callback_whose_timeout_the_execution_says() -> None:
    pay = read(ORDER)["Pay"]
    assert (pay.timeout_s, pay.attributes["timeout_from"]) == (None, "$.patience")
    assert (pay.heartbeat_timeout_s, pay.waiting_on, pay.downstream) == (
        60,
        "callback",
        "sqs:payments",
    )
    assert pay.catches == ("States.Timeout", "Declined", "States.ALL")
    assert pay.caught_by == ("Release",)
    assert (pay.max_attempts, pay.jitter, pay.retries) == (1, None, ())


def test_a_comment_can_say_what_a_state_undoes() -> None:
    found = read(ORDER)
    assert {step: one.compensated_by for step, one in found.items() if one.compensated_by} == {
        "Reserve": "Release"
    }


def test_where_it_goes_on() -> None:
    found = read(ORDER)
    assert found["Which"].next == ("Wrap", "Cool", "Pack")
    assert found["Sorry"].next == ()
    assert found["Cool"].waiting_on == "timer"
    assert found["Cool"].attributes["seconds"] == "2592000"
    assert found["Cool"].max_attempts is None
    assert (found["Label"].waiting_on, found["Label"].downstream) == ("child", "states:label")
    assert found["Item"].downstream == "activity:pack"
    assert found["Items"].attributes == {"max_concurrency": "5"}


def test_a_retry_that_says_nothing_has_the_language_s_defaults() -> None:
    found = read(machine(A=task(Retry=[{"ErrorEquals": ["States.TaskFailed"]}])))["A"]
    assert (found.max_attempts, found.backoff_s, found.backoff_rate) == (4, 1, 2)
    assert (found.backoff_max_s, found.jitter) == (None, False)


@pytest.mark.parametrize("seconds", [None, 99_999_999])
def test_the_timeout_that_aws_takes_for_none_is_none(seconds: int | None) -> None:
    assert read(machine(A=task(TimeoutSeconds=seconds)))["A"].timeout_s is None


def test_jsonata() -> None:
    state = task(
        Arguments={"FunctionName": "f", "Payload": "{% $states.input %}"},
        TimeoutSeconds="{% $states.input.patience %}",
        HeartbeatSeconds=5,
    )
    found = read({**machine(A=state), "QueryLanguage": "JSONata"})
    assert found["A"].downstream == "lambda:f"
    assert found["A"].timeout_s is None
    assert found["A"].attributes["timeout_from"] == "{% $states.input.patience %}"
    assert found["A"].heartbeat_timeout_s == 5
    assert found[""].attributes == {"query_language": "JSONata"}


def distributed(**fields: Any) -> dict[str, Any]:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
        **machine(Each=task(Resource="arn:aws:states:::aws-sdk:s3:getObject", Retry=[{"ErrorEquals": ["x"]}])),
    }  # fmt: skip
    state: dict[str, Any] = {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}
    return machine(M=state)


def test_a_distributed_map() -> None:
    found = read(distributed())
    assert found["M"].attributes == {"mode": "distributed", "execution_type": "EXPRESS"}
    assert (found["Each"].workflow, found["Each"].inside) == ("order", "M")
    assert found["Each"].downstream == "s3"


def test_the_items_of_a_distributed_map_with_a_label_are_a_workflow() -> None:
    found = {(one.workflow, one.step): one for one in definitions(distributed(Label="each"), HINTS)}
    assert {key: (one.kind, one.inside, one.next) for key, one in found.items()} == {
        ("order", ""): ("StateMachine", "", ("M",)),
        ("order", "M"): ("Map", "", ()),
        ("order/each", ""): ("ItemProcessor", "", ("Each",)),
        ("order/each", "Each"): ("Task", "", ()),
    }


def test_a_described_state_machine() -> None:
    described = {
        "stateMachineArn": f"{STATES}:stateMachine:checkout:7",
        "name": "checkout",
        "type": "STANDARD",
        "revisionId": "a-b-c",
        "definition": json.dumps(ORDER),
    }
    found = read(described)
    assert {one.workflow for one in found.values()} == {"checkout"}
    assert {one.workflow_version for one in found.values()} == {"7"}
    assert {one.region for one in found.values()} == {"eu-west-1"}
    assert found[""].attributes == {"revision": "a-b-c", "type": "STANDARD"}
    assert len(found) == len(read(ORDER))


def test_a_described_state_machine_without_an_arn_has_a_name() -> None:
    assert read({"name": "checkout", "definition": json.dumps(ORDER)})[""].workflow == "checkout"


def test_a_file_is_named_like_its_state_machine() -> None:
    hints = Hints(HINTS.received_at, execution_id="checkout.asl")
    assert read(ORDER, hints)[""].workflow == "checkout"


@pytest.mark.parametrize(
    ("asl", "reason"),
    [
        ([], "definition: must be an object"),
        ({}, "definition.States: must be an object"),
        (machine(start="B", A=task()), "definition.StartAt: there is no state 'B'"),
        ({"States": {"": task()}}, "States: a state has no name"),
        (machine(A={"Type": "Tsak"}), "States.A.Type: must be one of Task, "),
        (machine(A=task(TimeoutSeconds=True)), "States.A.TimeoutSeconds: must be a number"),
        (machine(A=task(TimeoutSeconds=-1)), "States.A.TimeoutSeconds: must be from 0 to 99999999"),
        (machine(A=task(Next="Z")), "States.A.Next: there is no state 'Z'"),
        (machine(A=task(Resource=3)), "States.A.Resource: must be text"),
        (machine(A=task(Catch={})), "States.A.Catch: must be an array"),
        (machine(A=task(Retry=[1])), r"States.A.Retry\[0\]: must be an object"),
        (
            machine(A=task(Retry=[{"ErrorEquals": ["x"], "MaxAttempts": 1.5}])),
            r"States.A.Retry\[0\].MaxAttempts: must be a whole number",
        ),
        (machine(A=task(Retry=[{"ErrorEquals": "x"}])), r"ErrorEquals: must be an array of texts"),
        (machine(A={"Type": "Map"}), "States.A.Iterator: must be an object"),
        ({"definition": "{"}, "ends in the middle"),
        ({"definition": "\ud800"}, "JSON is malformed"),
    ],
)
def test_what_is_wrong_is_named(asl: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        definitions(asl, HINTS)


def test_without_a_name_it_says_so() -> None:
    with pytest.raises(InputError, match="workflow: a definition does not say its name"):
        definitions(ORDER, Hints(HINTS.received_at))


def test_a_thousand_levels_are_no_trouble() -> None:
    inner = machine(S0={"Type": "Pass"})
    for level in range(1, 1000):
        states: dict[str, Any] = {f"S{level}": {"Type": "Parallel", "Branches": [inner]}}
        inner = machine(**states)
    assert read(inner)["S0"].inside == "S1"


@pytest.mark.parametrize(
    ("resource", "parameters", "downstream"),
    [
        ("arn:aws:lambda:us-east-1:1:function:f:prod", None, "lambda:f"),
        ("arn:aws-cn:states:::lambda:invoke", {"FunctionName": "f"}, "lambda:f"),
        ("arn:aws:states:::lambda:invoke", {"FunctionName": "{% $f %}"}, "lambda"),
        ("arn:aws:states:::sns:publish", {"TopicArn": "arn:aws:sns:r:1:news"}, "sns:news"),
        ("arn:aws:states:::sqs:sendMessage", {"QueueUrl": "http://127.0.0.1:5/123456789012/cb"}, "sqs:cb"),
        ("arn:aws:states:::dynamodb:putItem", {"TableName": "orders"}, "dynamodb:orders"),
        ("arn:aws:states:::http:invoke", {"ApiEndpoint": "https://api.example.com/v1/x"}, "http:api.example.com"),
        ("arn:aws:states:::http:invoke", {"ApiEndpoint": "https://[/"}, "http"),
        ("arn:aws:states:::apigateway:invoke", {"ApiEndpoint": "x.execute-api.us-east-1.amazonaws.com"},
         "apigateway:x.execute-api.us-east-1.amazonaws.com"),
        ("arn:aws:states:::ecs:runTask.sync", {"TaskDefinition": "arn:aws:ecs:r:1:task-definition/job"}, "ecs:job"),
        ("arn:aws:states:::glue:startJobRun.sync", {"JobName": "nightly"}, "glue:nightly"),
        ("arn:aws:states:::aws-sdk:s3:getObject", {"Bucket": "b"}, "s3:b"),
        ("${DefinitionSubstitution}", None, ""),
        ("something:new", None, "something:new"),
    ],
)  # fmt: skip
def test_what_a_resource_calls(resource: str, parameters: object, downstream: str) -> None:
    assert call(resource, parameters).downstream == downstream


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
KEYS = [
    "Type", "Resource", "Parameters", "Arguments", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds",
    "Retry", "Catch", "Next", "Choices", "Default", "Branches", "Iterator", "ItemProcessor", "Comment", "Seconds",
    "MaxConcurrency",
]  # fmt: skip
STATE = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5).flatmap(
    lambda fields: st.sampled_from(["Task", "Map", "Parallel", "Wait", "Choice"]).map(
        lambda kind: {"Type": kind, **fields}
    )
)
MACHINE = st.dictionaries(st.text(max_size=4), STATE | JSON, max_size=3).map(
    lambda s: {"States": s}
)


@given(JSON | MACHINE | MACHINE.map(lambda asl: {"definition": json.dumps(asl)}))
def test_no_document_breaks_it(document: object) -> None:
    try:
        found = definitions(document, HINTS)
    except InputError:
        return
    assert found[0].step == ""


def test_the_fixture_of_valid_states_is_not_refused_by_luck() -> None:
    """The property above would hold for a reader that refuses everything."""
    assert len(definitions(ORDER, HINTS)) == 12
