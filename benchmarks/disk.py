"""What an embedded store keeps on disk: `python -m benchmarks.disk FOLDER` prints the bytes by table as JSON."""

import sys
from pathlib import Path

import msgspec

from stallwatch.store.engine import Address, Engine


def main() -> None:
    """Bytes of the parts in use, compressed, with their indices. Nothing else may hold the store."""
    engine = Engine(Address(path=Path(sys.argv[1])))
    rows = engine.rows(
        "SELECT table, sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE active AND database = {database:String} GROUP BY table",
        {"database": engine.database},
    )
    engine.close()
    sys.stdout.write(msgspec.json.encode({row["table"]: row["bytes"] for row in rows}).decode())


if __name__ == "__main__":
    main()
