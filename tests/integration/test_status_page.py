# SPDX-License-Identifier: Apache-2.0
"""The status page in a real browser, on real data."""

import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from celery_redis_exporter.status.schema import build_schema
from celery_redis_exporter.status.tables import WORKERS
from celery_redis_exporter.web.page import render_page
from celery_redis_exporter.web.view import View
from tests.integration.browser import Browser, find_chromium
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.support.reports import make_large_report
from tests.support.waiting import eventually

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(find_chromium() is None, reason="chromium is not on PATH"),
]
FLEET, TASKS = 500, 1000
SECRET = 98765.4321
"""An argument that must not be shown: the second one of ``hold`` is its longest wait in seconds."""
EVIL = """<img src=x onerror="window.pwned=1">'&</td></table><script>window.pwned=1</script>\u202e\x07\U0001f525"""
ROWS = "[...document.querySelectorAll('#{0} tbody tr')]"
NAMES = ROWS + ".map((row) => row.cells[0].innerText.trim())"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Yield a browser."""
    folder = tmp_path / "browser"
    folder.mkdir()
    with Browser(folder) as browser:
        yield browser


def address(exporter: Exporter, query: str = "") -> str:
    """Return the address of the page."""
    return f"http://127.0.0.1:{exporter.port}/{query}"


def names(browser: Browser, table: str) -> list[str]:
    """Return the first cells of a table."""
    found: list[str] = browser.say(NAMES.format(table))
    return found


def status(exporter: Exporter) -> dict[str, list[dict[str, object]]]:
    """Return the JSON status, which matches its schema."""
    answer = exporter.get("/api/v1/status")
    assert (200, "application/json") == (answer.status, answer.headers["content-type"])
    found: dict[str, list[dict[str, object]]] = json.loads(answer.body)
    jsonschema.validate(found, build_schema())
    return found


def cell(browser: Browser, table: str, name: str, title: str) -> str:
    """Return the text of a cell, by the row's name and the column's title."""
    place = f"[...document.querySelectorAll('#{table} th')].findIndex((cell) => cell.innerText.startsWith('{title}'))"
    row = f"{ROWS.format(table)}.find((row) => row.cells[0].innerText.trim() === {json.dumps(name)})"
    text: str = browser.say(f"{row}.cells[{place}].innerText.trim()")
    return text


def test_a_small_installation(programs: Programs, browser: Browser) -> None:
    """The page shows workers, queues, tasks, the Redis server and failures with the numbers of the metrics."""
    server = programs.redis(options=("--maxmemory", "64mb"))
    exporter = programs.listening(
        server, "--status.failures", "2", "--celery.inspect-interval", "1s", "--redis.key-space.interval", "1s"
    )
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server)
    for number in range(5):
        app.send_task("plain", (number,))
    for _ in range(3):
        app.send_task("fail")
    eventually(lambda: (exporter.account("plain").get("success"), exporter.account("fail").get("failure")) == (5, 3))
    eventually(lambda: exporter.value("celery_worker_concurrency", worker=worker.name) is not None)
    eventually(lambda: exporter.labels("redis_key_group_count"))
    app.send_task("plain", (1,), queue="nobody")
    eventually(lambda: exporter.value("celery_queue_length", queue="nobody") == 1)
    browser.resize(1400, 900)
    browser.open(address(exporter))
    assert {"plain", "fail"} <= set(names(browser, "tasks"))
    assert ("5", "0", "3") == tuple(
        cell(browser, "tasks", *place) for place in (("plain", "Succeeded"), ("plain", "Failed"), ("fail", "Failed"))
    )
    assert "100 %" == cell(browser, "tasks", "fail", "Failing")
    assert ("online", "prefork") == tuple(cell(browser, "workers", worker.name, title) for title in ("State", "Pool"))
    assert cell(browser, "workers", worker.name, "Active").endswith("/ 2")
    assert "1" == cell(browser, "queues", "nobody", "Waiting")
    assert "64 MiB" in cell(browser, "redis", "broker", "Memory")
    assert "_kombu.binding" in browser.say("document.querySelector('.groups').innerText")
    assert 2 == len(names(browser, "failures"))
    assert browser.say("document.querySelector('#failures').innerText").count("ValueError") == 2
    found = status(exporter)
    assert ["fail", "fail"] == [failure["task"] for failure in found["failures"]]
    assert {worker.name} == {failure["worker"] for failure in found["failures"]}
    assert [("plain", 5.0), ("fail", 3.0)] == [
        (name, task[kind])
        for name, kind in (("plain", "success"), ("fail", "failure"))
        for task in found["tasks"]
        if task["name"] == name
    ]
    assert [] == browser.refused()


def test_what_runs_now(programs: Programs, browser: Browser) -> None:
    """JSON and page show running tasks, the longest first, and failures and retries with their worker."""
    server = programs.redis()
    exporter = programs.listening(server)
    worker = programs.worker(server, options=WorkerOptions(arguments=BEATING))
    app = programs.publisher(server)
    app.send_task("fail")
    app.send_task("retry_once")
    eventually(lambda: (exporter.account("fail").get("failure"), exporter.account("retry_once").get("retry")) == (1, 1))
    eventually(lambda: exporter.account("retry_once").get("success") == 1)
    gate = str(programs.folder / "gate")
    first = str(app.send_task("hold", (gate, SECRET)).id)
    eventually(lambda: exporter.account("hold").get("running") == 1)
    second = str(app.send_task("hold_watched", (gate, SECRET)).id)
    eventually(lambda: exporter.account("hold_watched").get("running") == 1)
    found = status(exporter)
    assert [("hold", first, worker.name), ("hold_watched", second, worker.name)] == [
        (task["task"], task["task_id"], task["worker"]) for task in found["running"]
    ]
    assert [(1, 1)] == [(one["failed"], one["retried"]) for one in found["workers"]]
    for width in (390, 800, 1440):
        browser.resize(width, 900)
        browser.open(address(exporter))
        assert ["hold", "hold_watched"] == names(browser, "running")
        assert browser.say("document.documentElement.scrollWidth <= innerWidth")
    assert ("1", "1") == tuple(cell(browser, "workers", worker.name, title) for title in ("Failed", "Retried"))
    assert first in browser.say("document.querySelector('#running').innerText")
    assert str(SECRET) not in exporter.get("/api/v1/status").text + exporter.get("/").text
    Path(gate).touch()
    eventually(lambda: status(exporter)["running"] == [])
    assert [] == browser.refused()


def test_it_keeps_itself_fresh(programs: Programs, browser: Browser) -> None:
    """Numbers update without a reload, typing filters at once, and the page reports an unreachable exporter."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "0")
    with programs.publisher(server).events.default_dispatcher(hostname="fleet") as dispatcher:
        for name in ("one", "two"):
            dispatcher.send("task-sent", uuid=name, name=name, queue="q")
        eventually(lambda: exporter.account("two") == {"sent": 1})
        browser.resize(1400, 900)
        browser.open(address(exporter, "?refresh=2"))
        browser.say("window.marked = 1")
        assert ["one", "two"] == names(browser, "tasks")
        dispatcher.send("task-sent", uuid="three", name="three", queue="q")
        eventually(lambda: names(browser, "tasks") == ["one", "three", "two"])
        browser.say("document.querySelector('input[name=q]').focus()")
        browser.type("t")
        browser.type("w")
        eventually(lambda: names(browser, "tasks") == ["two"])
        assert (1, "tw", "?refresh=2&q=tw") == tuple(
            browser.say(text) for text in ("window.marked", "document.activeElement.value", "location.search")
        )
        browser.say("document.querySelector('#tasks th a').click()")
        eventually(lambda: browser.say("document.readyState === 'complete' && location.search.includes('tasks=name')"))
        assert ["two"] == names(browser, "tasks")
        assert [] == browser.refused()
    exporter.process.end(8)
    eventually(lambda: browser.say("!document.getElementById('away').hidden"))


def test_hostile_names(programs: Programs, browser: Browser) -> None:
    """Names with markup, of maximum length and with any characters are shown as text, and no script runs."""
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "0", "--status.failures", "5")
    long = "x" * 500
    with programs.publisher(server).events.default_dispatcher(hostname=EVIL) as dispatcher:
        dispatcher.send("worker-heartbeat", freq=2.0, active=0, processed=0, sw_ver=EVIL, sw_ident=EVIL, sw_sys=EVIL)
        for name in (EVIL, long):
            dispatcher.send("task-sent", uuid=name, name=name, queue=EVIL)
            dispatcher.send("task-received", uuid=name, name=name)
            dispatcher.send("task-started", uuid=name)
            dispatcher.send("task-failed", uuid=name, exception=f"{EVIL}()", traceback="")
        eventually(lambda: len(exporter.labels("celery_tasks_started_total")) == 2)
    for width, dark, scripts in ((1400, False, True), (390, True, False)):
        browser.resize(width, 900, dark=dark, scripts=scripts)
        browser.open(address(exporter, "?q=%3Cscript%3E"))
        browser.open(address(exporter))
        assert browser.say("document.querySelectorAll('#tasks tbody tr').length") == 2
        assert "onerror=" in browser.say("document.querySelector('#tasks').innerText")
        assert browser.say("document.querySelectorAll('main img, main script').length") == 0
        assert browser.say("window.pwned === undefined")
        assert browser.say("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than its window"
        if scripts:
            assert [] == browser.refused()
    assert 2 == len(status(exporter)["failures"])


def test_a_large_installation(programs: Programs, browser: Browser) -> None:
    """Five hundred workers and a thousand tasks are counted, found, sorted and, on request, all shown."""
    # One process publishes their events: a test machine has no room for so many real workers.
    server = programs.redis()
    exporter = programs.listening(server, "--celery.inspect-interval", "0")
    with programs.publisher(server).events.default_dispatcher(hostname="w") as dispatcher:
        for number in range(FLEET):
            dispatcher.hostname = f"w{number:03}@fleet"
            dispatcher.send("worker-heartbeat", freq=2.0, active=number % 7, processed=0, loadavg=[number / 100, 1, 1])
        for number in range(TASKS):
            dispatcher.send("task-sent", uuid=str(number), name=f"proj.task_{number:04}", queue=f"q{number % 10}")
        eventually(lambda: exporter.value("celery_workers", state="online") == FLEET)
        eventually(lambda: len(exporter.labels("celery_tasks_sent_total")) == TASKS)
    browser.resize(1400, 900)
    browser.open(address(exporter))
    assert (WORKERS.shown, WORKERS.shown) == (len(names(browser, "workers")), len(names(browser, "tasks")))
    browser.open(address(exporter, "?all=workers,tasks&refresh=0&workers=-load&tasks=-name"))
    assert [f"w{number:03}@fleet" for number in reversed(range(FLEET))] == names(browser, "workers")
    assert [f"proj.task_{number:04}" for number in reversed(range(TASKS))] == names(browser, "tasks")
    browser.open(address(exporter, "?q=TASK_0042"))
    assert ["proj.task_0042"] == names(browser, "tasks")
    browser.resize(390, 844, scripts=False)
    browser.open(address(exporter, "?all=workers,tasks"))
    assert FLEET == len(names(browser, "workers"))
    assert browser.say("document.documentElement.scrollWidth <= innerWidth")
    found = status(exporter)
    assert (FLEET, TASKS, 10) == (len(found["workers"]), len(found["tasks"]), len(found["queues"]))


def test_a_large_installation_fits_on_a_page(browser: Browser, tmp_path: Path) -> None:
    """300 workers, 500 tasks and 40 queues take at most 2,500 px of height at width 1440, the worst rows first."""
    page = tmp_path / "page.html"
    page.write_text(render_page(make_large_report(), View(), "/metrics"), encoding="utf-8")
    browser.resize(1440, 900)
    browser.open(page.as_uri())
    assert browser.say("document.documentElement.scrollHeight") <= 2500
    heights = browser.say("[...document.querySelectorAll('.health li')].map(card => card.offsetHeight)")
    assert 1 == len(set(heights))
    assert "(and 2 more)" in browser.say("document.querySelector('.health').textContent")
    assert ["queue-3", "queue-37"] == names(browser, "queues")[:2]
    assert ["shop.orders.tasks.task_417", "shop.orders.tasks.task_334"] == names(browser, "tasks")[:2]
    page.write_text(render_page(make_large_report(), View(problems=True), "/metrics"), encoding="utf-8")
    browser.open(page.as_uri())
    assert 6 == len(names(browser, "workers"))
    assert 6 == len(names(browser, "queues"))
    assert "None is in trouble." in browser.say("document.querySelector('#redis').textContent")
