"""The store's shape as files: numbered migrations, and definitions that are made anew when their text changes.

A migration runs once and must never change afterwards (its checksum is kept). A definition (function,
materialized view, view) holds no data: when its text differs from what was applied, it and what follows
it are dropped and made again.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from stallwatch.errors import ConfigError
from stallwatch.store.engine import Engine
from stallwatch.store.migration_lock import migrating_alone
from stallwatch.store.redaction import MAP, NOTHING_MORE, TEXT, Redaction

_LEDGER: Final = """CREATE TABLE IF NOT EXISTS schema_ledger
(name String, checksum String, object String, applied_at DateTime64(6, 'UTC'))
ENGINE = ReplacingMergeTree(applied_at) ORDER BY name"""
_GONE: Final = ""
"""The checksum of a definition that is no longer there."""
_CREATED: Final = re.compile(
    r"^CREATE (?:OR REPLACE )?(MATERIALIZED VIEW|VIEW|FUNCTION) (\w+)", re.MULTILINE
)
_DANGEROUS: Final = re.compile(
    r"^\s*(DROP(?!\s+VIEW)|TRUNCATE|DELETE|ALTER\s+TABLE\s+\w+\s+(DROP|DELETE|CLEAR))", re.I | re.M
)


@dataclass(frozen=True)
class Definition:
    """One `.sql` file: one statement. `replaceable` ones hold no data."""

    name: str
    sql: str
    replaceable: bool

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()[:16]

    @property
    def dangerous(self) -> bool:
        """Whether the statement takes data away."""
        return not self.replaceable and bool(_DANGEROUS.search(self.sql))

    @property
    def object(self) -> str:
        """What a replaceable definition makes, as `VIEW name` or `FUNCTION name`; empty for a migration."""
        if not self.replaceable:
            return ""
        created = _CREATED.search(self.sql)
        if created is None:
            raise ConfigError(f"{self.name}: a replaceable definition creates a view or a function")
        kind, name = created.groups()
        return f"{kind.removeprefix('MATERIALIZED ')} {name}"


@dataclass(frozen=True)
class Conventions:
    """How spans become step events.

    `flows`: functions and views. `spans`: by the name with which `stallwatch_claimed_by` claims a span, the statement
    that makes step events of it. `noting`: statements that note which traces there are. `traces`: statements that read
    whole traces. `taken_back`: statements that take back what these made of traces that are an engine's.

    They read `fold_span`, the spans that came since the last fold. All but `spans` have parameters: `after` and `upto`
    (the batches that came, half-open below: `(after, upto]`) and `generic_services` (globs).
    """

    flows: tuple[Definition, ...] = ()
    spans: Mapping[str, str] = field(default_factory=dict)
    noting: tuple[str, ...] = ()
    traces: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpanLimits:
    """How many attributes a span or a step event may have, and how many bytes one of them."""

    attributes: int = 128
    attribute_bytes: int = 16 * 1024


USUAL_LIMITS: Final = SpanLimits()


@dataclass(frozen=True)
class Change:
    """One thing a migration would do or did."""

    action: str  # create, replace, drop
    name: str
    sql: str


def read_folder(folder: Traversable, prefix: str, replaceable: bool) -> list[Definition]:
    """The `.sql` files of a package's folder, in the order of their names."""
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [
        Definition(f"{prefix}/{f.name}", f.read_text(encoding="utf-8").strip(), replaceable)
        for f in found
    ]


def built_in(
    redaction: Redaction = NOTHING_MORE, limits: SpanLimits = USUAL_LIMITS
) -> tuple[list[Definition], list[Definition], list[Definition]]:
    """The store's own (migrations, flows, views). `redaction`: what is configured beyond what is always redacted."""
    here = files("stallwatch.store")
    numbers = {
        "{{max_attributes}}": str(limits.attributes),
        "{{max_attribute_bytes}}": str(limits.attribute_bytes),
    }
    flows = {}
    for d in read_folder(here / "flows", "flows", replaceable=True):
        sql = d.sql
        for name, number in numbers.items():
            sql = sql.replace(name, number)
        flows[d.name] = Definition(d.name, sql, True)
    text, map_ = (flows[f"flows/{name}"].sql for name in (TEXT, MAP))
    for name, sql in redaction.statements(text, map_):
        flows[f"flows/{name}"] = Definition(f"flows/{name}", sql, True)
    return (
        read_folder(here / "migrations", "migrations", replaceable=False),
        [flows[name] for name in sorted(flows)],
        read_folder(here / "views", "views", replaceable=True),
    )


def migrate(
    engine: Engine,
    definitions: Sequence[Definition],
    now: datetime,
    dry_run: bool = False,
    may_lose_data: bool = False,
    resumable: bool = True,
) -> list[Change]:
    """Bring the database to these definitions, in their order. Returns what was (or would be) done.

    `resumable`: each migration is noted as soon as it has run, so that one that was interrupted goes on from there; a
    database that is thrown away needs no such notes.

    Raises ConfigError when an applied migration's text has changed, when the database is newer than this code, and
    when a migration takes data away that nobody allowed to be taken (`may_lose_data`).
    """
    engine.create_database()
    changes = _plan(engine, definitions, dry_run, may_lose_data)
    if dry_run or not changes:
        return changes
    with migrating_alone(engine):
        # Another process may have been first.
        changes = _plan(engine, definitions, dry_run, may_lose_data)
        _apply(engine, {d.name: d for d in definitions}, changes, now, resumable)
    return changes


def _plan(
    engine: Engine, definitions: Sequence[Definition], dry_run: bool, may_lose_data: bool
) -> list[Change]:
    """What there is to do. See `migrate`."""
    applied, objects = _applied(engine, create=not dry_run)
    by_name = {d.name: d for d in definitions}
    stray = [n for n in applied if n.startswith("migrations/") and n not in by_name]
    if stray:
        raise ConfigError(
            f"the store was migrated by a newer Stallwatch: it has {', '.join(stray)}"
        )
    changes = [
        Change("drop", name, f"DROP {objects[name].replace('VIEW', 'VIEW IF EXISTS')}")
        for name in applied
        if name not in by_name and objects[name].startswith("VIEW")
    ]
    replace_rest = False
    for definition in definitions:
        before = applied.get(definition.name)
        if not definition.replaceable:
            if before is None:
                changes.append(Change("create", definition.name, definition.sql))
            elif before != definition.checksum:
                raise ConfigError(
                    f"{definition.name} was applied with another text: never edit a migration, add one"
                )
            continue
        # Views read views and functions that stand before them, so from the first change on all are made again.
        replace_rest = replace_rest or (before is not None and before != definition.checksum)
        if before is None or replace_rest:
            changes.append(
                Change("create" if before is None else "replace", definition.name, definition.sql)
            )
    losing = [c.name for c in changes if c.name in by_name and by_name[c.name].dangerous]
    if losing and not (dry_run or may_lose_data):
        raise ConfigError(
            f"{', '.join(losing)} would take data away: make a backup, then run `stallwatch migrate --may-lose-data`"
        )
    return changes


def _applied(engine: Engine, create: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Checksums and objects of what is applied, by name."""
    if create:
        engine.command(_LEDGER)
    elif not engine.rows(
        "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'schema_ledger'",
        {"database": engine.database},
    ):
        return {}, {}
    rows = engine.rows("SELECT name, checksum, object FROM schema_ledger FINAL")
    present = [row for row in rows if row["checksum"] != _GONE]
    checksums = {row["name"]: row["checksum"] for row in present}
    return checksums, {row["name"]: row["object"] for row in present}


def _apply(
    engine: Engine,
    by_name: dict[str, Definition],
    changes: Sequence[Change],
    now: datetime,
    resumable: bool,
) -> None:
    replaced = [by_name[c.name] for c in changes if c.name in by_name]
    for definition in reversed(replaced):
        # Functions are replaced in place.
        if definition.object.startswith("VIEW"):
            engine.command(f"DROP {definition.object.replace('VIEW', 'VIEW IF EXISTS')}")
    unnoted: list[tuple[str, str, str, datetime]] = []
    for change in changes:
        engine.command(change.sql)
        made = by_name.get(change.name)
        checksum, created = (made.checksum, made.object) if made else (_GONE, "")
        unnoted.append((change.name, checksum, created, now))
        # A view can be made twice, a table cannot.
        if resumable and not created:
            _note(engine, unnoted)
            unnoted = []
    _note(engine, unnoted)


def _note(engine: Engine, applied: Sequence[tuple[str, str, str, datetime]]) -> None:
    engine.insert_rows("schema_ledger", ("name", "checksum", "object", "applied_at"), applied)
