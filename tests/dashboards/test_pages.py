"""The pages: what they say, and that hostile text stays text."""

from datetime import datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from dashboards import reading
from dashboards.web import web_app
from dashboards.web.sparkline import sparkline
from dashboards.web.timeline import LABEL_WIDTH, WIDTH, timeline
from stallwatch.clock import ManualClock
from stallwatch.model.findings import Incident, Status
from stallwatch.store import Store
from stallwatch.store.state import State
from tests.dashboards.conftest import HOSTILE, HOSTILE_STEP, finding

STEP = ("namespace", "engine", "workflow", "step")
EXECUTION = f"/executions/{quote(HOSTILE, safe='')}"


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_alert_links_to_its_incident(client: TestClient, shop: Store, now: datetime) -> None:
    one = finding(now, fingerprint="c" * 16, title="charge hangs")
    shop.write_findings([one], now)
    incident = Incident(
        id="inc-7",
        cause="charge of order hangs",
        severity=one.severity,
        opened_at=now,
        closed_at=None,
        findings=(one,),
    )
    shop.write_incidents([incident], now)
    text = Page(client.get("/?incident=inc-7").text).text
    assert "charge of order hangs" in text
    assert "charge hangs" in text
    assert "still open" in text
    assert client.get("/?incident=nope").status_code == 404


def test_what_is_stuck(client: TestClient, state: State, now: datetime) -> None:
    state.save_findings(
        [finding(now), finding(now, fingerprint="b" * 16, status=Status.PENDING, title="perhaps")]
    )
    page = Page(client.get("/").text)
    assert "1 thing needs attention" in page.text
    assert "7m 50s" in page.text
    assert "Look whether its worker lives." in page.text
    assert "1 suspected" in page.text
    assert "shop-api" in page.text
    assert EXECUTION in [values.get("href") for tag, values in page.tags if tag == "a"]


def test_nothing_is_stuck(client: TestClient) -> None:
    page = Page(client.get("/").text)
    assert "Nothing is stuck" in page.text
    assert "1 execution is running" in page.text


def test_what_is_not_known_is_not_called_calm(
    client: TestClient, state: State, now: datetime
) -> None:
    state.save_findings([finding(now, status=Status.UNKNOWN)])
    page = Page(client.get("/").text)
    assert "It is not known whether anything is stuck" in page.text
    assert "Nothing is stuck" not in page.text.split("Stuck now", 1)[1]


def test_nothing_arrived_yet(store: Store, state: State, now: datetime) -> None:
    app = web_app(store, state, ManualClock(now), CollectorRegistry(), lambda: [])
    with TestClient(app) as client:
        assert "Nothing has arrived yet" in client.get("/").text
        assert "No step ended" in client.get("/steps").text
        assert "No execution matches" in client.get("/executions").text


@pytest.mark.parametrize("path", ["/", "/steps", "/executions", EXECUTION, "/executions/none"])
def test_hostile_text_stays_text(
    client: TestClient, state: State, now: datetime, path: str
) -> None:
    state.save_findings([finding(now)])
    answer = client.get(path)
    page = Page(answer.text)
    scripts = [values for tag, values in page.tags if tag == "script"]
    assert scripts == [{"src": "/static/refresh.js", "defer": None}]
    assert "img" not in {tag for tag, _ in page.tags}
    named = {name for _, values in page.tags for name in values}
    assert not {name for name in named if name.startswith("on") or name == "style"}
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_everything_a_page_loads_is_served_here(client: TestClient) -> None:
    page = Page(client.get("/").text)
    loaded = [v["href"] for tag, v in page.tags if tag == "link"]
    loaded += [v["src"] for tag, v in page.tags if tag == "script"]
    for url in loaded:
        assert url is not None
        assert url.startswith("/static/")
        assert client.get(url).status_code == 200
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/app.py").status_code == 404


def test_steps_page(client: TestClient) -> None:
    page = Page(client.get("/steps?period=24h").text)
    assert HOSTILE_STEP in page.text
    assert "charge" in page.text
    assert client.get("/steps?period=1y").status_code == 400


def test_steps_page_of_any_period(client: TestClient) -> None:
    page = Page(client.get("/steps?period=24h").text)
    assert "from 2026-01-04 12:00:00.000Z to 2026-01-05 12:00:00.000Z" in page.text
    assert "103" in page.text
    page = Page(client.get("/steps?since=-65m&until=2026-01-05T11:30:10Z").text)
    assert "from 2026-01-05 10:55:00.000Z to 2026-01-05 11:31:00.000Z" in page.text
    assert "103" not in page.text
    periods = [v for tag, v in page.tags if tag == "a" and "period=" in (v.get("href") or "")]
    assert periods
    assert not [v for v in periods if "aria-current" in v]
    assert client.get("/steps?since=yesterday").status_code == 400


def test_a_name_does_not_turn_the_rest_of_a_line(
    client: TestClient, state: State, now: datetime
) -> None:
    state.save_findings([finding(now, title="charge \u202esgnah")])
    page = client.get("/").text
    assert ("charge \ufffdsgnah" in page, "\u202e" in page) == (True, False)
    (raw,) = client.get("/api/findings").json()
    assert raw["title"] == "charge \u202esgnah"


def test_a_page_is_asked_only_what_it_knows(client: TestClient) -> None:
    answer = client.get("/?status=bogus")
    assert (answer.status_code, "status: is not a filter here" in answer.text) == (400, True)


def test_a_step_leads_to_its_own_executions(client: TestClient) -> None:
    rows = client.get("/api/steps").json()
    page = Page(client.get("/steps?period=24h").text)
    hrefs = {v.get("href") or "" for tag, v in page.tags if tag == "a"}
    links = {href for href in hrefs if "step=" in href}
    asked = {tuple(dict(parse_qsl(urlsplit(link).query)).get(k) for k in STEP) for link in links}
    assert asked == {tuple(row[k] for k in STEP) for row in rows}
    assert all(client.get(link).status_code == 200 for link in links)


def test_executions_page_keeps_its_filters(client: TestClient) -> None:
    page = Page(client.get("/executions?status=failed&workflow=order").text)
    assert "bad-1" in page.text
    assert "order-001" not in page.text
    values = [v.get("value") for tag, v in page.tags if tag == "input"]
    assert "order" in values
    chosen = [v.get("value") for tag, v in page.tags if tag == "option" and "selected" in v]
    assert chosen == ["failed"]


def test_execution_page(client: TestClient, state: State, now: datetime) -> None:
    state.save_findings([finding(now)])
    page = Page(client.get(EXECUTION).text)
    assert "charge hangs in" in page.text
    assert "charge (2)" in page.text
    assert "step.retrying" in page.text
    assert "waits for human" in page.text
    answer = client.get("/executions/none")
    assert answer.status_code == 404
    assert "there is no execution none" in answer.text


def test_timeline_of_a_retry_that_hangs(shop: Store, now: datetime) -> None:
    [run] = reading.execution(shop, HOSTILE)
    picture = timeline(run, now)
    rows = {row.label: row for row in picture.rows}
    first, second = rows["charge"], rows["charge (2)"]
    assert [bar.kind for bar in first.bars] == ["queued", "failed", "backoff"]
    assert [bar.kind for bar in second.bars] == ["running"]
    assert (first.open, second.open) == (False, True)
    # The execution began 600 s ago; the second attempt 130 s later, and reaches to the right edge.
    room = WIDTH - LABEL_WIDTH
    [hanging] = second.bars
    assert hanging.x == pytest.approx(LABEL_WIDTH + room * 130 / 600, abs=0.1)
    assert hanging.x + hanging.width == pytest.approx(WIDTH, abs=0.1)
    assert first.bars[2].width == pytest.approx(room * 30 / 600, abs=0.1)
    [waiting] = next(row for row in picture.rows if row.bars[0].kind == "waiting").bars
    assert waiting.width == pytest.approx(room, abs=0.1)


def test_sparkline_rises_with_its_values(now: datetime) -> None:
    since = now - timedelta(hours=1)
    points = sparkline([(since, 1.0), (now, 10.0)], since, now)
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in points.split())
    assert x1 < x2
    assert y1 > y2
    assert sparkline([(since, 1.0)], since, now) == ""
