"""`[engines.stepfunctions]`: AWS Step Functions, polled."""

from stallwatch.config.engines.polling import PolledEngine


class StepFunctionsConfig(PolledEngine):
    """Where AWS Step Functions is, and who asks."""
