"""A real interpreter of state machines (moto) for whole files, and state machines in it for single tests."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.collector.engines.stepfunctions_account import NUMBERS, Account
from tests.collector.engines.stepfunctions_endpoint import (
    Endpoint,
    client_of,
    moto_server,
    set_aws_environment,
)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("moto")
    with pytest.MonkeyPatch.context() as patch:
        set_aws_environment(patch, folder)
        with moto_server(folder) as port:
            yield port


@pytest.fixture
def endpoint(moto: int) -> Iterator[Endpoint]:
    with closing(Endpoint(moto)) as endpoint:
        yield endpoint


@pytest.fixture
def account(endpoint: Endpoint, moto: int, request: pytest.FixtureRequest) -> Iterator[Account]:
    client = client_of(f"http://127.0.0.1:{moto}")
    name = f"t{next(NUMBERS)}-{request.function.__name__[5:35].strip('_').replace('_', '-')}"
    account = Account(name, endpoint, client)
    yield account
    for watch in account.watches:
        watch.poller.close()
    for arn in account.machines.values():
        client.delete_state_machine(stateMachineArn=arn)
    client.close()


@pytest.fixture
def queue_url(moto: int) -> Iterator[str]:
    with closing(client_of(f"http://127.0.0.1:{moto}", "sqs")) as sqs:
        yield str(sqs.create_queue(QueueName="work")["QueueUrl"])
