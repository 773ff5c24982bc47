"""`[engines.prefect]`: Prefect, polled."""

from stallwatch.config.engines.polling import PolledEngine


class PrefectConfig(PolledEngine):
    """Where Prefect is, and who asks."""
