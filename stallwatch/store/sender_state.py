"""What a collector writes of its senders: how much of theirs waits on its disk, and what had to be set aside."""

from collections.abc import Mapping
from datetime import datetime

from stallwatch.store.engine import Engine


def write_spool_bytes(
    engine: Engine, waiting: Mapping[tuple[str, str], int], written_at: datetime
) -> None:
    """Note the bytes that wait by (sender, namespace); the view `ingest_health` shows them.

    Where several collectors hear one sender, the last one counts.
    """
    engine.insert_rows(
        "sender_state",
        ("sender", "namespace", "spool_bytes", "written_at"),
        [
            (sender, namespace, size_bytes, written_at)
            for (sender, namespace), size_bytes in waiting.items()
        ],
    )
