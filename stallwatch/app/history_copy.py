"""Stored history, received again in a scratch database as it was received then."""

from datetime import UTC, datetime
from typing import Final

from detectors.calibration.rows import ENOUGH, PAST, RECENT
from stallwatch.store import Store


class HistoryCopy:
    """Events and deliveries on their way from one database to another, by receive time.

    Of the past only what detectors learn from: what was received in the last week (RECENT) before they begin, and the
    whole of executions that were heard of since, or are open; of workflows that were seldom seen then, as far back as
    their thresholds look (PAST).
    """

    _EVENTS: Final = """
        INSERT INTO `{target}`.step_event_log ({columns})
        SELECT {selected}
        FROM step_event_log FINAL
        WHERE received_at >= {{since:DateTime64(6, 'UTC')}}
            AND received_at < {{upto:DateTime64(6, 'UTC')}}"""
    _WANTED: Final = """
            AND execution_key IN
            (
                SELECT execution_key
                FROM step_event_log
                WHERE received_at >= {past:DateTime64(6, 'UTC')}
                    AND received_at < {at:DateTime64(6, 'UTC')}
                UNION DISTINCT
                SELECT execution_key
                FROM execution_fold
                WHERE last_received_at >= {far:DateTime64(6, 'UTC')}
                    AND last_received_at < {past:DateTime64(6, 'UTC')}
                    AND (namespace, engine, workflow) NOT IN
                    (
                        SELECT namespace, engine, workflow
                        FROM execution_fold
                        WHERE last_received_at >= {past:DateTime64(6, 'UTC')}
                            AND last_received_at < {first:DateTime64(6, 'UTC')}
                        GROUP BY namespace, engine, workflow
                        HAVING count() >= {enough:UInt32}
                    )
                UNION DISTINCT
                SELECT execution_key FROM open_execution FINAL
                UNION DISTINCT
                SELECT execution_key FROM execution_fold WHERE folded >= {at_us:UInt64}
            )"""
    _BEATS: Final = """
        INSERT INTO `{target}`.sender_beat
        SELECT *
        FROM sender_beat
        WHERE received_at >= {{since:DateTime64(6, 'UTC')}}
            AND received_at < {{upto:DateTime64(6, 'UTC')}}
            AND received_at >= {{past:DateTime64(6, 'UTC')}}"""
    _AWAY: Final = """
        INSERT INTO `{target}`.away_log
        SELECT *
        FROM away_log
        WHERE ended_at >= {{since:DateTime64(6, 'UTC')}} AND ended_at < {{upto:DateTime64(6, 'UTC')}}"""

    def __init__(self, source: Store, target: Store, first: datetime, at: datetime) -> None:
        """`first`: when detectors begin. Nothing that was received at or after `at` will be copied."""
        self._source = source
        self._target = target
        self._first = first
        self._at = at
        self._since = datetime(1970, 1, 1, tzinfo=UTC)
        columns = source.select(
            "SELECT name FROM system.columns WHERE database = currentDatabase() "
            "AND table = 'step_event_log' AND default_kind != 'MATERIALIZED'"
        )
        self._columns = [str(row["name"]) for row in columns]

    def definitions(self) -> None:
        """Copy what is declared: of what was before, nothing is kept."""
        database = self._target.engine.database
        self._source.engine.command(
            f"INSERT INTO `{database}`.definition_log SELECT * FROM definition_log"
        )

    def move_to(self, upto: datetime) -> None:
        """Copy what was received before `upto` and not copied yet, and fold it."""
        with self._target.batch(upto) as batch:
            self._copy(upto, batch)
        self._target.fold(upto)
        self._since = upto

    def _copy(self, upto: datetime, batch: int) -> None:
        selected = [f"{batch} AS batch" if name == "batch" else name for name in self._columns]
        database = self._target.engine.database
        parameters = {
            "since": self._since,
            "upto": upto,
            "first": self._first,
            "past": self._first - RECENT,
            "far": self._first - PAST,
            "enough": ENOUGH,
            "at": self._at,
            "at_us": max(0, int(self._at.timestamp() * 1e6)),
        }
        events = self._EVENTS.format(
            target=database, columns=", ".join(self._columns), selected=", ".join(selected)
        )
        if self._since < self._first:
            # What is received from then on is wanted as a whole.
            events += self._WANTED
        self._source.engine.command(events, parameters)
        for copied in (self._BEATS, self._AWAY):
            self._source.engine.command(copied.format(target=database), parameters)
