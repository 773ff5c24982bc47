"""`[engines.durable]`: Azure Durable Functions, polled."""

from stallwatch.config.engines.polling import PolledEngine


class DurableConfig(PolledEngine):
    """Where Azure Durable Functions is, and who asks."""
