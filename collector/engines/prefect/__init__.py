"""Prefect 3: flow runs and task runs out of its REST API."""

import base64
from typing import Any

from collector.engines.prefect.documents import parts_of
from collector.engines.prefect.history import ENGINE, read
from collector.engines.prefect.poll import PrefectPoller
from collector.engines.reading import Engine, Facts, Hints, Parts, Poller, Reading
from collector.engines.rest import Rest
from stallwatch.config.engines.prefect import PrefectConfig
from stallwatch.config.engines.secrets import secret


class Prefect(Engine):
    """Documents are answers of the API: `flow_runs`, `task_runs`, `flows`, `flow_run_states` and `task_run_states`."""

    name = ENGINE

    def parts(self, document: Any, hints: Hints) -> Parts:
        return parts_of(document, hints)

    def read(self, execution: str, facts: Facts, namespace: str) -> Reading:
        return read(execution, facts, namespace)

    def poller(self, config: Any) -> Poller:
        assert isinstance(config, PrefectConfig)
        rest = Rest("Prefect", config.url, config.timeout, config.ca_file)
        key = secret("engines.prefect.api_key", config.api_key, config.api_key_file)
        basic = secret("engines.prefect.auth_string", config.auth_string, config.auth_string_file)
        if key:
            rest.authorize(f"Bearer {key}")
        elif basic:
            rest.authorize(f"Basic {base64.b64encode(basic.encode()).decode()}")
        return PrefectPoller(rest, config.lookback, config.namespace)
