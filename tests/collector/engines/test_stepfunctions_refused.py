"""Polling where AWS is away, throttles or refuses, in front of a real interpreter (moto)."""

import json
from collections import deque
from datetime import timedelta
from typing import Any

import pytest

from stallwatch.errors import Permanent, Transient
from stallwatch.store import Store
from tests.collector.engines.stepfunctions_account import (
    PASS,
    ROLE,
    Account,
    chain,
    statuses,
    wait,
)
from tests.collector.engines.stepfunctions_endpoint import (
    CLOCK,
    THROTTLED,
    eventually,
    refusal,
)

pytestmark = pytest.mark.slow


def test_an_endpoint_that_is_away_is_asked_again_and_nothing_is_lost(
    account: Account, store: Store
) -> None:
    account.machine("sleeps", chain(A={"Type": "Pass"}, W=wait(2), B={"Type": "Pass"}))
    watch = account.watch()
    before = account.start("sleeps", "before")
    watch.look()
    account.endpoint.go_away()
    during = account.run("sleeps", "during")
    with pytest.raises(Transient, match="does not answer list_executions"):
        watch.look()
    eventually(lambda: account.status(before) != "RUNNING", "still open")
    account.endpoint.come()
    pieces = watch.look()
    assert {fragment.execution for piece in pieces for fragment in piece.parts.fragments} == {
        before,
        during,
    }
    assert not any(piece.historical for piece in pieces)
    assert set(watch.facts().values()) == {1}
    watch.to(store)
    assert set(statuses(store).values()) == {"completed"}


def test_throttling_ends_the_look_and_the_next_one_goes_on(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    watch = account.watch()
    watch.look()
    arns = [account.run("one", f"e-{i}") for i in range(3)]
    # Three times is as often as one call is tried.
    account.endpoint.refuse["GetExecutionHistory"] = deque([THROTTLED] * 3)
    with pytest.raises(Transient, match="AWS throttles GetExecutionHistory") as caught:
        watch.look()
    assert caught.value.retry_after_s == 15
    account.endpoint.refuse["GetExecutionHistory"] = deque([THROTTLED])
    watch.look()
    assert {execution for execution, _ in watch.facts()} == set(arns)
    assert set(watch.facts().values()) == {1}


def test_a_wish_for_how_long_to_wait_is_told(account: Account) -> None:
    status, headers, body = THROTTLED
    answer = (status, {**headers, "Retry-After": "40"}, body)
    account.endpoint.refuse["ListStateMachines"] = deque([answer] * 3)
    with pytest.raises(Transient) as caught:
        account.watch().look()
    assert caught.value.retry_after_s == 40


def test_one_state_machine_that_is_forbidden_does_not_keep_the_others_waiting(
    account: Account,
) -> None:
    secret = account.machine("secret", chain(A=PASS))
    account.machine("open", chain(A=PASS))
    denied = refusal("AccessDeniedException", "not authorized to perform: states:ListExecutions")
    watch = account.watch()
    watch.look()
    arn = account.run("open")
    account.endpoint.script["ListExecutions"] = lambda parameters: (
        {} if parameters["stateMachineArn"] == secret else None
    )
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "ListExecutions" in headers.get("X-Amz-Target", "") and secret.encode() in body:
            return denied
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch.look()
    assert watch.events_of(arn) > 0


def test_a_history_that_aws_cannot_give_does_not_keep_the_others_waiting(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    broken, *others = [account.run("one", f"e-{i}") for i in range(3)]
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "GetExecutionHistory" in headers.get("X-Amz-Target", "") and broken.encode() in body:
            return 500, {}, b"{}"
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch = account.watch(lookback="1h")
    watch.look()
    assert {execution for execution, _ in watch.facts()} == set(others)
    account.endpoint.answer = real  # type: ignore[method-assign]
    watch.look()
    assert {execution for execution, _ in watch.facts()} == {broken, *others}


@pytest.mark.parametrize(
    ("action", "answer", "error", "reason"),
    [
        ("ListStateMachines", refusal("AccessDeniedException"), Permanent, "do not allow states:ListStateMachines"),
        ("ListExecutions", refusal("AccessDeniedException"), Permanent, "do not allow states:ListExecutions"),
        ("ListStateMachines", refusal("UnrecognizedClientException"), Permanent, "does not accept the credentials"),
        ("ListStateMachines", refusal("ExpiredTokenException"), Permanent, "does not accept the credentials"),
        ("ListStateMachines", (503, {}, b"{}"), Transient, "AWS cannot answer ListStateMachines now: 503"),
        ("ListExecutions", (500, {}, b"{}"), Transient, "AWS cannot answer ListExecutions now: 500"),
        ("GetExecutionHistory", (500, {}, b"{}"), Transient, "AWS cannot answer GetExecutionHistory now: 500"),
        ("ListStateMachines", (200, {}, b"<html>"), Transient, "is not AWS"),
        ("ListStateMachines", refusal("SomethingNew"), Permanent, "AWS refuses ListStateMachines: SomethingNew"),
    ],
)  # fmt: skip
def test_what_aws_refuses_is_said_in_plain_words(
    account: Account, action: str, answer: Any, error: type[Exception], reason: str
) -> None:
    account.machine("one", chain(W=wait(3600)))
    for i in range(3):
        account.start("one", f"e-{i}")
    account.endpoint.refuse_always[action] = answer
    with pytest.raises(error, match=reason):
        account.watch().look()


def test_an_execution_that_is_gone_is_forgotten(account: Account) -> None:
    machine = account.machine("sleeps", chain(W=wait(3600)))
    account.start("sleeps")
    account.endpoint.refuse_always["GetExecutionHistory"] = refusal("ExecutionDoesNotExist")
    watch = account.watch()
    watch.look()
    assert watch.mark is not None
    assert "unfinished" not in json.loads(watch.mark)["sources"][machine]


def test_a_role_is_assumed_and_its_credentials_are_used(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    account.machine("one", chain(A=PASS))
    watch = account.watch(role_arn=ROLE, external_id="ours")
    watch.look()
    watch.look()
    assert account.endpoint.calls["AssumeRole"] == 1
    assert "ExternalId=ours" in account.endpoint.bodies[0]
    assumed = account.endpoint.access_keys - {"AKIATEST"}
    assert len(assumed) == 1


def test_credentials_of_a_role_are_renewed_before_they_expire(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    expires = (CLOCK.now() + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIASHORT</AccessKeyId>"
        f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{expires}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ).encode()
    account.endpoint.refuse["AssumeRole"] = deque([(200, {"Content-Type": "text/xml"}, body)])
    account.machine("one", chain(A=PASS))
    account.watch(role_arn=ROLE).look()
    assert account.endpoint.calls["AssumeRole"] == 2
    assert len(account.endpoint.access_keys - {"AKIATEST", "ASIASHORT"}) == 1


def test_a_role_that_may_not_be_assumed_is_a_matter_of_credentials(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", account.endpoint.url)
    body = b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    account.endpoint.refuse_always["AssumeRole"] = (403, {"Content-Type": "text/xml"}, body)
    with pytest.raises(Permanent, match="does not accept the credentials for AssumeRole"):
        account.watch(role_arn=ROLE).look()


def test_a_region_that_is_away_does_not_keep_the_others_waiting(account: Account) -> None:
    account.machine("one", chain(A=PASS))
    arn = account.run("one")
    real = account.endpoint.answer

    def answer(path: str, headers: dict[str, str], body: bytes) -> Any:
        if "/eu-west-1/" in headers["Authorization"]:
            return 503, {}, b"{}"
        return real(path, headers, body)

    account.endpoint.answer = answer  # type: ignore[method-assign]
    watch = account.watch(regions=("eu-west-1", "us-east-1"))
    with pytest.raises(Transient, match="503"):
        watch.look()
    assert watch.events_of(arn) > 0
