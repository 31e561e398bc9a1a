# SPDX-License-Identifier: Apache-2.0
"""The status page."""

import re
from html.parser import HTMLParser

import pytest

from celery_redis_exporter.records.report import (
    Failure,
    Health,
    KeyGroup,
    LastHour,
    QueueStatus,
    Recent,
    Report,
    RunningTask,
    TrendReading,
    Unacked,
    WorkerStatus,
)  # fmt: skip
from celery_redis_exporter.status.tables import TASKS
from celery_redis_exporter.web.page import content_security_policy, read_asset, render_page
from celery_redis_exporter.web.tables import draw_trend
from celery_redis_exporter.web.view import View
from tests.support.reports import make_report, make_server, make_task

EVIL = """<script>"'&</script><b onload=x>"""


class Texts(HTMLParser):
    """A parser that collects a page's elements, and the texts of its cells by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Store an element."""
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
            self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        """Leave a cell."""
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        """Store a text."""
        if self._inside:
            self.tables[-1][-1][-1] += data

    def column(self, title: str) -> list[str]:
        """Return the cells below a title, which may have an arrow."""
        for head, *rows in self.tables:
            titles = [cell.rstrip(" ▴▾") for cell in head]
            if title in titles:
                return [row[titles.index(title)] for row in rows]
        return []


def show(given: Report, **query: str) -> Texts:
    """Render and parse a page."""
    return Texts(render_page(given, View.of(query), "/metrics"))


def test_links_are_relative() -> None:
    """Every link works behind a proxy that adds a prefix."""
    page = Texts(render_page(make_report(tasks=[make_task("a")]), View(), "/custom/metrics"))
    links = [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]
    assert ["./custom/metrics", "./api/v1/status", "./-/ready", "./-/healthy"] == links[:4]
    assert links[4:]
    assert all(link.startswith("?") for link in links[4:])


def test_everything_is_escaped() -> None:
    """No input can become markup."""
    server = make_server(
        EVIL, up=False, error=EVIL, version=EVIL, role=EVIL,
        key_groups=[KeyGroup(db="db0", name=EVIL, keys=1)], trend=[TrendReading(1.0, 1.0), TrendReading(2.0, 2.0)],
    )  # fmt: skip
    page = render_page(
        make_report(
            version=EVIL, health=[Health(EVIL, "warning", EVIL)], tasks=[make_task(EVIL, queues=[EVIL])],
            workers=[WorkerStatus(name=EVIL, state="lost", pool=EVIL, queues=[EVIL])], queues=[QueueStatus(name=EVIL)],
            redis=[server], failures=[Failure(1.0, EVIL, EVIL, EVIL, EVIL)], unacked=Unacked(messages=1.0),
            running=[RunningTask(EVIL, EVIL, EVIL, 1.0)],
        ),
        View.of({"q": EVIL, "tasks": EVIL, "all": EVIL, "refresh": EVIL}), f"/{EVIL}",
    )  # fmt: skip
    without_own = page.replace(f"<script>{read_asset('page.js')}</script>", "")
    assert "<script" not in without_own
    assert "onload=x>" not in without_own
    assert "\"'&<" not in without_own


def test_nothing_foreign_is_loaded() -> None:
    """The page is one document, and needs nothing that its security policy forbids."""
    page = render_page(make_report(tasks=[make_task("a")]), View(), "/metrics")
    assert [] == re.findall(r"<link|<img|<iframe|src=|url\(|@import| on[a-z]+=|https?://", page)
    assert 1 == page.count("<script")
    assert "'unsafe-inline'" not in content_security_policy().partition("script-src")[2]


@pytest.mark.parametrize(
    ("health", "title"),
    [
        ([], "OK - "),
        ([Health("Redis", "ok"), Health("Queues", "warning", "long")], "Queues WARNING - "),
        ([Health("Queues", "warning", "long"), Health("Redis", "critical", "away")], "Redis CRITICAL - "),
    ],
)
def test_the_title_says_the_worst(health: list[Health], title: str) -> None:
    """The page's title shows the worst verdict, so that it is visible in a background tab."""
    assert f"<title>{title}celery-redis-exporter</title>" in render_page(make_report(health=health), View(), "/metrics")


def test_order() -> None:
    """A table is sorted as the address states, unknown values come last, and an invalid order is ignored."""
    given = make_report(tasks=[make_task("a", 1.0), make_task("b"), make_task("c", 3.0), make_task("d", 2.0)])
    assert ["c", "d", "a", "b"] == show(given).column("Task")
    assert ["a", "d", "c", "b"] == show(given, tasks="rate").column("Task")
    assert ["d", "c", "b", "a"] == show(given, tasks="-name").column("Task")
    assert ["c", "d", "a", "b"] == show(given, tasks="nonsense").column("Task")


def test_a_title_turns_the_order_round() -> None:
    """The sorted column is marked, its link reverses the order, and the links of other columns keep the filter."""
    page = show(make_report(tasks=[make_task("a", 1.0)]), q="a", refresh="5")
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert "?q=a&tasks=rate&refresh=5#tasks" in links
    assert "?q=a&tasks=name&refresh=5#tasks" in links
    assert ["descending"] == [found for tag, attributes in page.elements if (found := attributes.get("aria-sort"))]


def test_filter() -> None:
    """Rows stay if their name or queue contains the text in any case; the number of hidden rows is shown."""
    given = make_report(
        tasks=[make_task("shop.Pay", queues=["x"]), make_task("shop.mail", queues=["payments"]), make_task("other")],
        workers=[WorkerStatus(name="w", state="online", queues=["payments"]), WorkerStatus(name="v", state="online")],
    )
    page = show(given, q=" PAY ")
    assert ["shop.Pay", "shop.mail"] == sorted(page.column("Task"))
    assert ["w"] == page.column("Worker")
    text = render_page(given, View.of({"q": "nothing"}), "/metrics")
    assert ("0 of 3" in text, "None has this in its name." in text) == (True, True)


def test_long_tables_are_cut() -> None:
    """The first rows are shown until all rows are requested."""
    given = make_report(tasks=[make_task(f"t{number:03}", 1.0) for number in range(TASKS.shown + 7)])
    page = render_page(given, View(), "/metrics")
    assert (TASKS.shown, f"show all {TASKS.shown + 7}" in page) == (len(Texts(page).column("Task")), True)
    whole = render_page(given, View.of({"all": "tasks"}), "/metrics")
    assert (TASKS.shown + 7, f"show the first {TASKS.shown}" in whole) == (len(Texts(whole).column("Task")), True)


def test_refresh() -> None:
    """Without a script the browser reloads the page at the requested interval, or never."""
    assert '<noscript><meta http-equiv="refresh" content="10"></noscript>' in render_page(make_report(), View(), "/m")
    assert 'content="2"' in render_page(make_report(), View.of({"refresh": "2"}), "/m")
    paused = render_page(make_report(), View.of({"refresh": "0"}), "/m")
    assert ("http-equiv" in paused, "paused" in paused, 'data-refresh="0"' in paused) == (False, True, True)
    assert 'data-refresh="10"' in render_page(make_report(), View.of({"refresh": "1e9"}), "/m")


def test_what_is_wrong_has_a_colour_and_a_word() -> None:
    """A lost worker, a queue without consumers and a failing task stand out, and not by their colour only."""
    recent = Recent(ended=50, failure_ratio=0.4)
    page = render_page(
        make_report(
            workers=[WorkerStatus(name="w", state="lost")],
            queues=[QueueStatus(name="q", length=5, consumers=0, verdict="critical")],
            tasks=[make_task("t", recent=recent, verdict="critical")],
        ),
        View(), "/metrics",
    )  # fmt: skip
    assert 3 == len(re.findall(r'<td class="[^"]*critical', page))
    for text in (">lost<", ">40 %<"):
        assert text in page


def test_tasks_that_nothing_was_heard_of() -> None:
    """Tasks without any event have no row on the page, although the report contains them."""
    given = make_report(
        tasks=[make_task("never", sent=0.0), make_task("once"), make_task("runs", sent=0.0, running=1.0)]
    )
    assert ["once", "runs"] == show(given).column("Task")


def test_failures_only_where_they_are_kept() -> None:
    """The table of failures is shown, even empty, if the exporter keeps failures, and not otherwise."""
    assert "Last failures" not in render_page(make_report(), View(), "/metrics")
    assert "Last failures" in render_page(make_report(failures=[]), View(), "/metrics")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""), ([1.0], ""), ([None, None], ""),
        ([0.0, 2.0], '<polyline points="0.0,34.0 200.0,2.0"/>'),
        ([1.0, 1.0, None, 1.0, 0.0], '<polyline points="0.0,2.0 50.0,2.0"/><polyline points="150.0,2.0 200.0,34.0"/>'),
        ([0.0, 0.0], '<polyline points="0.0,34.0 200.0,34.0"/>'),
    ],
)  # fmt: skip
def test_trends(values: list[float | None], line: str) -> None:
    """A trend is drawn from 0 to its largest value, with gaps for unknown values."""
    assert line == draw_trend(values, 0.0, None)


def test_a_view_keeps_its_choices() -> None:
    """A view's address, read back, is the same view."""
    view = View.of({"q": "ä&b=c", "tasks": "-p95", "workers": "load", "all": "tasks,no", "refresh": "30", "x": "y"})
    assert "?q=%C3%A4%26b%3Dc&workers=load&tasks=-p95&all=tasks&refresh=30" == view.address
    assert View() == View.of({"tasks": "drop table", "refresh": "-1", "all": ""})
    assert "?" == View().address
    assert 200 == len(View.of({"q": "x" * 5000}).wanted)


def test_the_last_hour() -> None:
    """Totals of the last hour are below the verdicts, and rows of tasks and queues have lines instead of blocks."""
    task = make_task("t", 1.0, trend=[0.0, 2.0])
    hour = LastHour(
        seconds=3600, published=5000, started=41, success=39, failure=1, retry=1, revoked=0, rejected=0,
        success_ratio=0.975,
    )  # fmt: skip
    queue = QueueStatus(name="q", length=3, trend=[1.0, None, 3.0, 5.0])
    page = render_page(make_report(tasks=[task], queues=[queue], last_hour=hour), View(), "/metrics")
    assert "Last 1 h: 97.5 % succeeded, 1 failed, 1 retried, 5,000 published, 41 started<" in page
    labels = [attributes["aria-label"] for kind, attributes in Texts(page).elements if kind == "svg"]
    assert ["Last hour: at most 5", "Last hour: at most 2/s"] == labels
    assert "█" not in page
