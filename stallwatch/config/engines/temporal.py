"""`[engines.temporal]`: Temporal, polled."""

from stallwatch.config.engines.polling import PolledEngine


class TemporalConfig(PolledEngine):
    """Where Temporal is, and who asks."""
