"""`[engines.dbos]`: DBOS, polled."""

from stallwatch.config.engines.polling import PolledEngine


class DbosConfig(PolledEngine):
    """Where DBOS is, and who asks."""
