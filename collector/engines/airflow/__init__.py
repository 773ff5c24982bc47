"""Apache Airflow 3: DAG runs, task instances and what DAGs declare, out of its REST API."""

from typing import Any

from collector.engines.airflow.definitions import ENGINE
from collector.engines.airflow.documents import parts_of
from collector.engines.airflow.history import read
from collector.engines.airflow.poll import AirflowPoller
from collector.engines.reading import Engine, Facts, Hints, Parts, Poller, Reading
from collector.engines.rest import Rest
from stallwatch.config.engines.airflow import AirflowConfig
from stallwatch.config.engines.secrets import secret
from stallwatch.errors import Permanent

TOKEN_PATH = "auth/token"


class Airflow(Engine):
    """Documents are answers of the API: `dag_runs`, `task_instances`, `tasks` and `dags`."""

    name = ENGINE

    def parts(self, document: Any, hints: Hints) -> Parts:
        return parts_of(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        return read(execution, facts, namespace)

    def poller(self, config: Any) -> Poller:
        assert isinstance(config, AirflowConfig)
        rest = Rest("Airflow", config.url, config.timeout, config.ca_file)

        def kept() -> str:
            if not config.username:
                return secret("engines.airflow.token", config.token, config.token_file)
            return secret("engines.airflow.password", config.password, config.password_file)

        def token(server: Rest) -> str:
            return _issued(server, config.username, kept()) if config.username else kept()

        # A file may change and is read at each login; one that cannot be read is told at the start.
        kept()
        return AirflowPoller(rest, token, config.lookback, config.namespace, config.dags)


def _issued(server: Rest, username: str, password: str) -> str:
    """A token for a user, from Airflow's own auth managers."""
    answer = server.post(TOKEN_PATH, {"username": username, "password": password})
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str):
        raise Permanent(f"Airflow answered {TOKEN_PATH} without a token: set engines.airflow.token")
    return token
