"""`[engines.<name>]`: the engines that are polled. Each section is described with its engine in `docs/engines/`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from stallwatch.config.engines.airflow import AirflowConfig
from stallwatch.config.engines.dbos import DbosConfig
from stallwatch.config.engines.declared import DeclaredStep
from stallwatch.config.engines.durable import DurableConfig
from stallwatch.config.engines.prefect import PrefectConfig
from stallwatch.config.engines.stepfunctions import StepFunctionsConfig
from stallwatch.config.engines.temporal import TemporalConfig
from stallwatch.config.fields import Section


class EnginesConfig(Section):
    """An engine without a section is not asked; what it pushes and what is imported needs no section."""

    shelf_max_bytes: Annotated[int, Field(ge=1024 * 1024)] = 512 * 1024 * 1024
    """How much of what engines told is kept until it is whole."""
    definition: tuple[DeclaredStep, ...] = ()
    """What is declared of steps that no engine tells."""

    airflow: AirflowConfig | None = None
    dbos: DbosConfig | None = None
    durable: DurableConfig | None = None
    prefect: PrefectConfig | None = None
    stepfunctions: StepFunctionsConfig | None = None
    temporal: TemporalConfig | None = None

    @model_validator(mode="after")
    def _declared_once(self) -> Self:
        places = [one.place for one in self.definition]
        for one in self.definition:
            if places.count(one.place) > 1:
                what = f"step {one.step!r} of {one.workflow!r}" if one.step else repr(one.workflow)
                raise ValueError(f"definition: {what} is declared twice")
        return self
