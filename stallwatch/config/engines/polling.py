"""What all polled engines have in common."""

from typing import Annotated

from pydantic import Field

from stallwatch.config.fields import DurationS, Section


class PolledEngine(Section):
    """An engine that is asked, again and again. It is asked when its section is there."""

    every: Annotated[DurationS, Field(ge=1)] = 10.0
    """How often."""
    lookback: DurationS = 86400.0
    """How far back closed executions are fetched at the first look; they come as history, which never pages."""
