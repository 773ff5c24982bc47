"""`[engines.airflow]`: Apache Airflow, polled."""

from stallwatch.config.engines.polling import PolledEngine


class AirflowConfig(PolledEngine):
    """Where Apache Airflow is, and who asks."""
