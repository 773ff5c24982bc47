"""What a stranger's SQL may do: read the public views, and nothing else. Pure functions over the engine's own texts.

The engine parses, never we: `canonical` texts come from its formatter (no comments, no heredocs, one statement, one
spelling of quotes), trees from its EXPLAIN QUERY TREE. `readonly = 1` already refuses writes, settings and remote
tables; what follows is what it lets through on an embedded engine: INTO OUTFILE, the function file(), KILL QUERY.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stallwatch.errors import StoreRefused

ACCESS_DENIED: Final = 497
SYSTEM_TABLES: Final = frozenset(
    {
        "aggregate_function_combinators", "build_options", "collations", "columns", "contributors",
        "data_type_families", "databases", "formats", "keywords", "numbers", "one",
        "settings", "table_engines", "table_functions", "tables", "time_zones",
    }
)  # fmt: skip
TELLING_COLUMNS: Final = frozenset({"create_table_query", "as_select"})
"""Columns of system.tables with the text of views, which holds the rules of redaction and their salt."""
TABLE_FUNCTIONS: Final = frozenset(
    {"generate_series", "generateSeries", "null", "numbers", "values", "zeros"}
)
_DENIED_WORDS: Final = re.compile(
    r"file|outfile|infile|eval|evalmlmethod|catboostevaluate|joinget.*|dictget.*|dicthas|dictisin|"
    r"ai(?:classify|embed|extract|filter|generate|redact|similarity|translate)|getmacro|"
    r"getclienthttpheader|showcertificate|sleep|sleepeachrow|filesystem.*|logtrace|"
    r"reversednsquery|zookeeper.*|getserverport|getserversetting|hostname|fullhostname|"
    r"naivebayes.*|addressto.*|getmergetreesetting",
    re.IGNORECASE,
)
_CONFUSING: Final = re.compile(r"[\\\x00-\x1f]|identifier:|name:")
"""Names that could pass for something else in the text of a query tree."""
_TOKEN: Final = re.compile(
    r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[^\W\d]\w*|\d[\w.]*|\s+|.", re.DOTALL
)
_SHOW: Final = re.compile(
    r"SHOW DATABASES|SHOW TABLES(?: FROM (?P<database>`[^`]+`|\w+))?|"
    r"(?:DESCRIBE TABLE|EXISTS TABLE|EXISTS VIEW) (?P<table>(?:(?:`[^`]+`|\w+)\.)?(?:`[^`]+`|\w+))"
)
_NODE: Final = re.compile(r"^( *)([A-Z_]+(?: [A-Z]+)*)(?: id: \d+(.*))?$")
_NAMES: Final = {
    "TABLE_FUNCTION": r".*\btable_function_name: (\w+)",
    "TABLE": r".*\btable_name: ([^,]+)",
    "IDENTIFIER": r".*\bidentifier: ([^,]+)",
}
_TABLE_PLACES: Final = frozenset(
    {"JOIN TREE", "LEFT TABLE EXPRESSION", "RIGHT TABLE EXPRESSION", "TABLE EXPRESSION"}
)


class SqlRefused(StoreRefused):
    """A query that was refused, by us or by the engine; `code` is ClickHouse's number of the error."""

    def __init__(self, message: str, code: int = ACCESS_DENIED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Statement:
    """A statement that may run: its text without the FORMAT clause, the format it asks for, whether it selects."""

    text: str
    format: str
    selects: bool


def read_statement(canonical: str, databases: Collection[str], views: Collection[str]) -> Statement:
    """Split off the FORMAT clause and refuse every kind of statement and word that has no business here."""
    tokens = [token for token in _TOKEN.findall(canonical) if not token.isspace()]
    if not tokens:
        raise SqlRefused("there is no statement")
    text, format_ = canonical.strip(), ""
    # The formatter quotes names that are keywords too: Values, Null.
    last = tokens[-1].strip("`")
    if len(tokens) > 2 and tokens[-2] == "FORMAT" and last.isidentifier():
        format_ = last
        text = text[: text.rindex("FORMAT")].strip()
        tokens = tokens[:-2]
    for token in tokens:
        word = token.strip("`") if token[0] != "'" else ""
        if token[0] == "`" and _CONFUSING.search(token):
            raise SqlRefused(f"the name {token} cannot be used here")
        if _DENIED_WORDS.fullmatch(word):
            raise SqlRefused(f"{word} cannot be used here: this endpoint reads the public views")
    for before, word in pairwise(tokens):
        if before == "PARALLEL" and word == "WITH":
            raise SqlRefused("one statement at a time")
    if tokens[0] in ("SELECT", "WITH"):
        return Statement(text, format_, selects=True)
    shown = _SHOW.fullmatch(text)
    if shown is None:
        raise SqlRefused(
            f"{tokens[0]} cannot be used here: only SELECT, SHOW TABLES, SHOW DATABASES, DESCRIBE and EXISTS can"
        )
    if shown["table"]:
        _check_table(shown["table"].replace("`", ""), databases, views)
    database = (shown["database"] or "").strip("`")
    if database and database not in {*databases, "system"}:
        raise SqlRefused(f"the database {database} cannot be read here")
    if text.startswith("SHOW TABLES") and database != "system":
        # Query builders offer what this lists, so it lists what can be read.
        names = ", ".join(f"('{view}')" for view in sorted(views))
        text = f"SELECT name FROM values('name String', {names})"
    return Statement(text, format_, selects=False)


def check_tree(
    tree: str, databases: Collection[str], views: Collection[str], internal: Collection[str]
) -> None:
    """Refuse a query that reads anything but the views and a few system tables.

    `tree` is its EXPLAIN QUERY TREE run_passes=0, where names are not resolved yet and nothing ran;
    `internal` are the database's tables that are not public.
    """
    # A constant may contain such text too: it can only add a name, and a plain one that is not internal is a view.
    named = {name for name in re.findall(r"\bcte_name: ([^\s,]+)", tree) if "." not in name}
    lists_tables = re.search(r"\b(identifier|table_name): system\.tables\b", tree) is not None
    parents: list[tuple[int, str]] = []
    for line in tree.splitlines():
        node = _NODE.match(line)
        if node is None:
            continue
        depth, kind, rest = len(node[1]), node[2], node[3] or ""
        while parents and parents[-1][0] >= depth:
            parents.pop()
        in_table_place = bool(parents) and parents[-1][1] in _TABLE_PLACES
        parents.append((depth, kind))
        name = _name(kind, rest)
        database, _, last = name.rpartition(".")
        if kind == "TABLE_FUNCTION" and name not in TABLE_FUNCTIONS:
            raise SqlRefused(f"the table function {name} cannot be used here")
        if kind == "TABLE" or (kind == "IDENTIFIER" and in_table_place and name not in named):
            _check_table(name, databases, views)
        if lists_tables and (kind == "MATCHER" or last in TELLING_COLUMNS):
            raise SqlRefused(
                "name the columns of system.tables, such as database, name, engine and total_rows"
            )
        # `x IN name` reads a table when no column has the name.
        if kind == "IDENTIFIER" and (database == "system" or last in internal):
            _check_table(name, databases, views)


def _name(kind: str, rest: str) -> str:
    found = re.search(_NAMES.get(kind, "a^"), rest)
    return found[1] if found else ""


def _check_table(name: str, databases: Collection[str], views: Collection[str]) -> None:
    database, _, table = name.rpartition(".")
    if database == "system" and table in SYSTEM_TABLES:
        return
    if (not database or database in databases) and table in views:
        return
    raise SqlRefused(f"{name} cannot be read here: the public views are {', '.join(sorted(views))}")
