"""Grafana's macros and variables, replaced as Grafana would: so that every panel's query can be run without it."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

_CONDITIONAL: Final = re.compile(r"\$__conditionalAll\((.*?\$\{\w+:singlequote\}\)), \$(\w+)\)")


def replaced(
    raw_sql: str,
    since: datetime,
    until: datetime,
    interval_s: int = 60,
    chosen: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The SQL that the data source would send; a variable that is not in `chosen` stands at All."""
    begin, end = (f"toDateTime({int(when.timestamp())})" for when in (since, until))
    values = chosen or {}

    def conditional(found: re.Match[str]) -> str:
        if found[2] not in values:
            return "1=1"
        quoted = ",".join("'" + v.replace("'", "''") + "'" for v in values[found[2]])
        return found[1].replace(f"${{{found[2]}:singlequote}}", quoted)

    text = _CONDITIONAL.sub(conditional, raw_sql)
    text = re.sub(
        r"\$__timeInterval\(((?:[^()]|\([^()]*\))*)\)",
        rf"toStartOfInterval(toDateTime(\1), INTERVAL {interval_s} second)",
        text,
    )
    text = re.sub(
        r"\$__timeFilter\(((?:[^()]|\([^()]*\))*)\)", rf"\1 >= {begin} AND \1 <= {end}", text
    )
    text = text.replace("$__interval_s", str(interval_s))
    return text.replace("$__fromTime", begin).replace("$__toTime", end)
