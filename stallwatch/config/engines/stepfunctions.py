"""`[engines.stepfunctions]`: AWS Step Functions, polled."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from stallwatch.config.engines.polling import PolledEngine


class StepFunctionsConfig(PolledEngine):
    """Where AWS Step Functions is, and who asks. Credentials come the way all of AWS's tools find them."""

    namespace: Annotated[str, Field(min_length=1)] = "default"
    """The namespace of what is found."""
    regions: tuple[str, ...] = ()
    """The regions that are asked; none: the one of the profile or the environment."""
    endpoint_url: str = ""
    """Another endpoint than AWS's own, for instance that of a VPC or of an emulator."""
    profile: str = ""
    """A profile of `~/.aws/config`; empty: what AWS's tools take by themselves."""
    role_arn: str = ""
    """A role that is assumed, and again before its credentials expire."""
    external_id: str = ""
    """What the role's trust policy asks for, if it does."""
    state_machines: tuple[str, ...] = ("*",)
    """Globs of the names of the state machines that are looked at."""
    exclude: tuple[str, ...] = ()
    """Globs of the names of those that are not."""
    payloads: bool = True
    """Whether AWS sends inputs and outputs with histories. What is kept are their sizes, and whom they name."""
    max_calls_per_s: Annotated[float, Field(ge=0.1, le=100)] = 4.0
    """Calls of the API, over all regions. AWS allows 2 to 20 a second of each action, to the whole account."""

    @model_validator(mode="after")
    def _external_id_belongs_to_a_role(self) -> Self:
        if self.external_id and not self.role_arn:
            raise ValueError("external_id: is said where a role is assumed: set role_arn too")
        return self
