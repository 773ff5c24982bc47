"""What `serve` costs while nobody sends anything."""

from benchmarks.contestants import stallwatch
from benchmarks.measuring import MIB, Bench
from benchmarks.process import cpu_s, memory_bytes
from benchmarks.report import Table

_LONGER = 4


def idle(bench: Bench) -> list[Table]:
    """All roles and the collector alone, on an empty embedded store."""
    rows = []
    for roles in ("collector,detectors,alerts,web", "collector"):
        url = f"chdb://{bench.new_folder('data')}"
        with (
            bench.doing(f"idle: {roles}"),
            stallwatch("idle", bench.new_folder("serve"), url, roles) as one,
        ):
            bench.settle(one.pid)
            before_s = cpu_s(one.pid)
            seconds = bench.seconds * _LONGER
            bench.wait(seconds)
            used = (cpu_s(one.pid) - before_s) / seconds
            rows.append([roles, f"{memory_bytes(one.pid) / MIB:,.0f}", f"{used:.1%}"])
    headings = ("roles", "resident MiB", "of one core")
    notes = ["`serve` on an empty embedded store, after it came to rest."]
    return [Table("Idle", headings, rows, notes, bench.command)]
