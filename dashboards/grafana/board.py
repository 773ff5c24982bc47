"""What the dashboards are made of: the ClickHouse query, panels of three kinds, the shared variables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from grafana_foundation_sdk.builders import common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

PLUGIN: Final = "grafana-clickhouse-datasource"
SOURCE: Final = model.DataSourceRef(type_val=PLUGIN, uid="${datasource}")
VARIABLES: Final = ("namespace", "engine", "workflow", "step")
TIME_SERIES_FORMAT, TABLE_FORMAT = 0, 1
DAY_RANGE: Final = ("now-24h", "now")
UNITS: Final = {
    "failure_share": "percentunit",
    "retry_share": "percentunit",
    "spooled": "bytes",
    "spool_bytes": "bytes",
}
"""Units of columns whose name does not say it; `…_s` is seconds."""


@dataclass(frozen=True)
class ClickHouseQuery(Dataquery):
    """A query as the ClickHouse data source saves it: SQL text, and whether it draws or lists."""

    sql: str
    drawn: bool

    def to_json(self) -> dict[str, object]:
        return {
            "refId": "A",
            "datasource": SOURCE.to_json(),
            "editorType": "sql",
            "format": TIME_SERIES_FORMAT if self.drawn else TABLE_FORMAT,
            "queryType": "timeseries" if self.drawn else "table",
            "rawSql": self.sql,
        }


class _Query(Builder[ClickHouseQuery]):
    def __init__(self, name: str, drawn: bool) -> None:
        self._query = ClickHouseQuery(sql(name), drawn)

    def build(self) -> ClickHouseQuery:
        return self._query


@cache
def sql(name: str) -> str:
    """The text of one of the dashboards' queries."""
    path = files("dashboards.grafana") / "sql" / f"{name}.sql"
    return path.read_text(encoding="utf-8").strip()


def board(
    uid: str, title: str, description: str, variables: Sequence[str] = VARIABLES
) -> build.Dashboard:
    """An empty dashboard with the data source and these variables."""
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["stallwatch"])
        .time(*DAY_RANGE)
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(
            build.DashboardLink("Stallwatch")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["stallwatch"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(build.DatasourceVariable("datasource").label("Data source").type(PLUGIN))
    )
    for name in variables:
        made = made.with_variable(
            build.QueryVariable(name)
            .label(name.capitalize())
            .datasource(SOURCE)
            .query(sql(f"variable_{name}"))
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .current(model.VariableOption(selected=True, text="All", value="$__all"))
        )
    return made


def number(title: str, name: str, alarming: bool = False) -> stat.Panel:
    """One number; an alarming one is red when it is not 0."""
    first = model.Threshold(color="green" if alarming else "blue", value=None)
    steps = [first, model.Threshold(color="red", value=1)] if alarming else [first]
    panel = (
        stat.Panel()
        .title(title)
        .datasource(SOURCE)
        .height(4)
        .span(6)
        .with_target(_Query(name, drawn=False))
        .thresholds(build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .no_value("0")
    )
    return panel.unit("bytes") if "spool" in name else panel


def curves(
    title: str, name: str, unit: str, description: str = "", bars: bool = False
) -> timeseries.Panel:
    """Lines, or stacked bars, over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(9)
        .span(12)
        .unit(unit)
        .min(0)
        .with_target(_Query(name, drawn=True))
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    if not bars:
        return panel.fill_opacity(5).show_points(common_model.VisibilityMode.AUTO)
    return (
        panel.draw_style(common_model.GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    )


def rows(
    title: str, name: str, columns_s: Sequence[str] = (), description: str = ""
) -> table.Panel:
    """A table; `columns_s` are shown as durations."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .height(10)
        .span(24)
        .with_target(_Query(name, drawn=False))
        .show_header(True)
        .no_value("nothing")
    )
    for column in columns_s:
        unit = [model.DynamicConfigValue(id_val="unit", value=UNITS.get(column, "s"))]
        panel = panel.override_by_name(column, unit)
    return panel
