# SPDX-License-Identifier: Apache-2.0
"""Several Celery applications with one exporter: they are counted apart, and a reload changes them."""

import json
import re
import signal
import sys
from collections.abc import Callable
from functools import partial

import pytest

from tests.bench.streams import Shape
from tests.integration.applications import Applications, Sender
from tests.integration.celery_workers import BEATING, WorkerOptions
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter, parse
from tests.integration.processes import ROOT
from tests.integration.rabbitmq_server import RabbitServer, is_installed
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

RELOADED_AT = "celery_exporter_config_last_reload_success_timestamp_seconds"
UP = "celery_exporter_event_stream_up"
OWN = re.compile(r'^[a-z_]+(\{|\{.*,)application="([^"]*)"', re.MULTILINE)
MODULE = (sys.executable, "-m", "celery_redis_exporter")


def applications_of(text: str) -> set[str]:
    """Return the applications in a body."""
    return {name for _, name in OWN.findall(text)}


def reload(exporter: Exporter, written: Callable[[], None]) -> None:
    """Write the settings, send SIGHUP, and wait until the exporter has read them."""
    before = exporter.value(RELOADED_AT)
    written()
    exporter.process.signal(signal.SIGHUP)
    eventually(lambda: exporter.value(RELOADED_AT) != before)


def run(programs: Programs, *arguments: str) -> tuple[int, str]:
    """Run a command until it ends. Return its exit code and output."""
    process = programs.run(*MODULE, *arguments)
    return process.ended(60), process.log.read_text(encoding="utf-8")


def test_each_application_is_counted_by_itself(programs: Programs) -> None:
    """Events of four applications with the same task names are counted exactly for each application."""
    site = Applications(programs, ("shop", "billing", "crm", "search"))
    exporter = site.exporter()
    for name in ("shop", "billing"):
        broker = Sender(site.trees[name]["broker_url"])
        programs.worker(broker, f"worker-{name}", WorkerOptions(arguments=BEATING))
        publisher = programs.publisher(broker)
        for _ in range(3 if name == "shop" else 5):
            publisher.send_task("counted")
        site.published[name] += 3 if name == "shop" else 5
        site.ended[name, "success"] += 3 if name == "shop" else 5
    site.publish("crm", Shape(tasks=700, names=5))
    site.publish("search", Shape(tasks=300, names=5, failures=0.5))
    site.agree(exporter)
    workers = {(row["application"], row["state"]): row for row in exporter.labels("celery_workers")}
    assert {("shop", "online"), ("billing", "online")} <= set(workers)
    assert exporter.value("celery_workers", application="shop", state="online") == 1
    for series, value in exporter.metrics("celery_tasks_").items():
        assert "application" in dict(series[1]), (series, value)


def test_one_application_can_be_scraped_alone(programs: Programs) -> None:
    """The responses per application and process together equal the full response, and an unknown name returns 404."""
    site = Applications(programs, ("shop", "billing"))
    exporter = site.exporter()
    site.publish("shop", Shape(tasks=50))
    site.publish("billing", Shape(tasks=70))
    site.agree(exporter)
    searched = "celery_reply_queues"  # Later it would be in only one of the responses.
    eventually(lambda: {"shop", "billing"} == {labels["application"] for labels in exporter.labels(searched)})
    whole = exporter.get("/metrics").text
    assert {"shop", "billing"} == applications_of(whole)
    for name in ("shop", "billing"):
        body = exporter.get(f"/metrics?application={name}").text
        assert {name} == applications_of(body)
        series = parse(body)
        assert series
        assert all(dict(labels)["application"] == name for _, labels in series)
        names = {key for key in parse(whole) if dict(key[1]).get("application") == name}
        assert names == set(series)
    for path in ("/metrics", "/api/v1/status", "/-/ready", "/"):
        answer = exporter.get(f"{path}?application=shopp")
        assert (404, "no such application; did you mean shop?\n") == (answer.status, answer.text)


def test_a_shared_server_is_read_once(programs: Programs) -> None:
    """Three applications share one INFO per scrape, and its series have no label of the application."""
    site = Applications(programs, ("shop", "billing", "crm"))
    other = programs.redis()
    site.add("apart", broker_url=other.url())
    site.trees["billing"]["queues"] = {"names": ["mail"]}
    site.write()
    exporter = site.exporter()
    shared = f"broker@localhost:{site.server.port}"
    site.server.command("LPUSH", "mail", "a", "b", db=1)
    eventually(lambda: exporter.value("celery_queue_length", application="billing", queue="mail") == 2)
    site.server.command("CONFIG", "RESETSTAT")
    for _ in range(5):
        assert exporter.value("redis_up", redis=shared) == 1
    assert 5 == site.server.command("INFO", "commandstats")["cmdstat_info"]["calls"]
    assert exporter.value("redis_up", redis="broker", application="apart") == 1
    assert exporter.value("celery_exporter_broker_up", transport="redis", application="shop") == 1
    rows = exporter.labels("redis_memory_used_bytes")
    assert [{"redis": shared}] == [row for row in rows if "application" not in row]


def test_each_database_of_a_shared_server_is_sampled_once(programs: Programs) -> None:
    """Keys in a broker's database have the label of its application, and those in other databases have none."""
    site = Applications(programs, ("shop", "billing"), redis={"key_space": {"interval": "1s", "databases": [7, 8]}})
    site.trees["shop"]["result_backend_url"] = site.server.url(7)
    site.trees["billing"]["result_backend_url"] = site.server.url(8)
    site.write()
    exporter = site.exporter()
    for db in (0, 1, 7, 8):
        site.server.command("SET", f"of-{db}", "x", db=db)
    expected = {("db0", "shop"), ("db1", "billing"), ("db7", None), ("db8", None)}

    def rows() -> list[dict[str, str]]:
        return [row for row in exporter.labels("redis_key_group_count") if row["key_group"].startswith("of-")]

    eventually(lambda: {(row["db"], row.get("application")) for row in rows()} == expected)
    assert {f"broker@localhost:{site.server.port}"} == {row["redis"] for row in rows()}
    assert 4 == len(rows())


def test_a_reload_adds_removes_and_replaces_applications(programs: Programs) -> None:
    """A reload keeps the counters of unchanged applications, and adds, removes and replaces the others."""
    site = Applications(programs, ("kept", "changed", "removed"))
    exporter = site.exporter()
    for name in ("kept", "changed", "removed"):
        site.publish(name, Shape(tasks=20))
    site.agree(exporter)

    def change() -> None:
        del site.trees["removed"]
        site.trees["changed"]["queues"] = {"names": ["mail"]}
        site.add("added")
        site.write()

    reload(exporter, change)
    site.ended["changed", "success"] = site.ended["changed", "failure"] = site.published["changed"] = 0
    site.receives(exporter)
    done = exporter.line("app.applications_changed")["applications"]
    assert ["changed replaced", "added added", "removed removed"] == done
    site.publish("added", Shape(tasks=30))
    site.publish("changed", Shape(tasks=10))
    site.publish("kept", Shape(tasks=5, seed=2))
    site.agree(exporter)
    whole = exporter.get("/metrics").text
    assert {"kept", "changed", "added"} == applications_of(whole)
    assert exporter.get("/metrics?application=removed").status == 404
    assert exporter.value("celery_queue_length", application="changed", queue="mail") == 0
    assert (200, "ok\n") == (exporter.get("/-/healthy").status, exporter.get("/-/healthy").text)


def test_a_reload_can_change_what_is_shared(programs: Programs) -> None:
    """A server is shared when a second application uses it, and belongs to the first when the second is removed."""
    site = Applications(programs, ("first",))
    exporter = site.exporter()
    site.publish("first", Shape(tasks=20))
    site.agree(exporter)
    shared = f"broker@localhost:{site.server.port}"
    assert exporter.value("redis_up", redis="broker", application="first") == 1

    def add() -> None:
        site.add("second")
        site.write()

    reload(exporter, add)
    site.receives(exporter)
    eventually(lambda: exporter.value("redis_up", redis=shared) == 1)
    assert exporter.value("redis_up", redis="broker", application="first") is None
    assert exporter.value("celery_exporter_broker_up", transport="redis", application="first") == 1
    site.publish("second", Shape(tasks=7))
    site.agree(exporter)

    def remove() -> None:
        del site.trees["second"]
        site.write()

    reload(exporter, remove)
    eventually(lambda: exporter.value("redis_up", redis="broker", application="first") == 1)
    assert exporter.value("redis_up", redis=shared) is None
    site.publish("first", Shape(tasks=3, seed=3))
    site.agree(exporter)


def test_a_reload_can_change_keys_of_a_common_server(programs: Programs) -> None:
    """A reload that changes only the named keys of a common server is applied."""
    cache = programs.redis()
    cache.command("RPUSH", "orders", "a", "b")
    common = {"key_space": {"interval": 0}, "servers": {"cache": cache.url()}}
    site = Applications(programs, ("shop",), redis=common)
    exporter = site.exporter()
    assert exporter.value("redis_up", redis="cache") == 1
    assert exporter.value("redis_key_size", redis="cache", db="db0", key="orders") is None
    site.common["redis"] = common | {"keys": {"cache": {"0": ["orders"]}}}
    reload(exporter, site.write)
    eventually(lambda: exporter.value("redis_key_size", redis="cache", db="db0", key="orders") == 2)


def test_a_wrong_file_keeps_the_running_applications(programs: Programs) -> None:
    """A reload of an invalid file changes nothing, and logs the reason in one line."""
    site = Applications(programs, ("shop", "billing"))
    exporter = site.exporter()
    site.publish("shop", Shape(tasks=20))
    site.agree(exporter)
    site.trees["twin"] = dict(site.trees["shop"])
    del site.trees["billing"]
    site.write()
    exporter.process.signal(signal.SIGHUP)
    line = eventually(lambda: exporter.lines("app.reload_failed"))[0]
    assert "applications.twin: has the server, database, prefix and event exchange of shop" in line["error"]
    assert {"shop", "billing"} == applications_of(exporter.get("/metrics").text)
    del site.trees["twin"]
    site.trees = {}
    site.path.write_text(f"broker_url: {site.server.url()}\n", encoding="utf-8")
    exporter.process.signal(signal.SIGHUP)
    line = eventually(lambda: exporter.lines("app.reload_failed")[1:])[0]
    assert "applications: restart to change between one application and several" == line["error"]


def test_a_bad_application_does_not_disturb_the_others(programs: Programs) -> None:
    """A hanging broker, a flood of events and hostile names do not change the counts of the other applications."""
    hanging = programs.redis()
    site = Applications(programs, ("good", "flood", "hostile"), scrape={"freshness": 0, "deadline": 0.5})
    site.add("hung", broker_url=hanging.url())
    site.write()
    exporter = site.exporter()
    hanging.freeze()
    for round_ in range(3):
        site.publish("good", Shape(tasks=100, seed=round_ + 1))
        site.publish("flood", Shape(tasks=5_000, tasks_per_batch=10, seed=round_ + 1))
        site.publish("hostile", Shape(tasks=2_000, names=2_000, queues=200, workers=200, seed=round_ + 1))
        answer = exporter.get("/metrics?application=good")
        assert answer.status == 200
        assert f'{UP}{{application="good"}} 1.0' in answer.text
    site.agree(exporter, "good", "flood", within=120)
    assert exporter.value("redis_up", redis="broker", application="hung") == 0
    ready = exporter.get("/-/ready")
    assert 200 == ready.status
    assert "hung: Redis broker: timeout" in ready.text
    assert 503 == exporter.get("/-/ready?application=hung").status
    hanging.thaw()
    eventually(lambda: exporter.value("redis_up", redis="broker", application="hung") == 1)


def test_states_are_kept_by_application(programs: Programs) -> None:
    """With ``state.file`` each application has a separate file, and its counters continue after a clean restart."""
    site = Applications(programs, ("shop", "billing"))
    site.common["state"] = {"file": str(programs.folder / "state"), "interval": "1s"}
    site.write()
    exporter = site.exporter()
    site.publish("shop", Shape(tasks=20))
    site.publish("billing", Shape(tasks=30))
    site.agree(exporter)
    assert exporter.process.end() == 0
    assert {"state.shop", "state.billing"} <= {path.name for path in programs.folder.iterdir()}
    again = site.exporter()
    site.publish("shop", Shape(tasks=5, seed=2))
    site.agree(again)
    restored = {line["application"]: line["effect"] for line in again.lines("state.restored")}
    assert {"shop": "counters go on", "billing": "counters go on"} == restored


def test_pages_and_reports_of_several_applications(programs: Programs) -> None:
    """The overview lists the worst application first and links to each, and JSON and ``top`` contain the same."""
    site = Applications(programs, ("shop", "billing"))
    away = programs.redis()
    site.add("away", broker_url=away.url())
    site.write()
    exporter = site.exporter()
    away.stop()
    site.publish("shop", Shape(tasks=20))
    site.agree(exporter, "shop")
    eventually(lambda: exporter.value(UP, application="away") == 0)
    overview = json.loads(exporter.get("/api/v1/status").body)
    assert "away" == overview["applications"][0]["name"]
    assert "critical" == overview["applications"][0]["state"]
    assert {"away", "shop", "billing"} == {one["name"] for one in overview["applications"]}
    page = exporter.get("/").text
    assert page.index(">away</a>") < page.index(">shop</a>")
    assert '<a href="?application=shop">shop</a>' in page
    own = exporter.get("/?application=shop").text
    assert '<a href="./">All applications</a>' in own
    assert "<title>" in own
    assert "shop" in re.findall("<title>(.*)</title>", own)[0]
    report = json.loads(exporter.get("/api/v1/status?application=shop").body)
    assert f"broker@localhost:{site.server.port}" in [server["name"] for server in report["redis"]]
    assert 20 == sum(task["sent"] for task in report["tasks"])
    url = f"http://127.0.0.1:{exporter.port}"
    code, screen = run(programs, "top", url, "--once")
    assert code == 0
    assert screen.index("away") < screen.index("shop")
    code, text = run(programs, "top", url, "--json", "--application=shop")
    assert 20 == sum(task["sent"] for task in json.loads(text)["tasks"])
    code, text = run(programs, "top", url, "--json", "--application=shopp")
    assert (code, True) == (1, "404: no such application; did you mean shop?" in text)


@pytest.mark.parametrize("command", ["check", "analyze", "top"])
def test_commands_about_one_application(programs: Programs, command: str) -> None:
    """Each command accepts an application of the settings file, and without one it lists all of them."""
    site = Applications(programs, ("shop", "billing"))
    site.server.command("SET", "of-billing", "x", db=1)
    more = {"check": ["--listen=0"], "analyze": ["--json"], "top": ["--json", "--listen=1"]}[command]
    file = ["--config.file", str(site.path)]
    code, text = run(programs, command, *file, *more)
    assert (2, True) == (code, "--application: name one of several; there are shop, billing" in text), text
    code, text = run(programs, command, *file, *more, "--application=billing")
    assert code == 0, text
    expected = {"check": f"redis://127.0.0.1:{site.server.port}/1", "analyze": "of-billing", "top": '"redis"'}
    assert expected[command] in text


def test_the_documented_settings_are_read(programs: Programs) -> None:
    """The settings file in the documentation is valid."""
    text = (ROOT / "deploy" / "docs" / "applications.md").read_text(encoding="utf-8")
    block = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0].replace("redis:6379", "127.0.0.1:6379")
    path, secret = programs.folder / "documented.yml", programs.folder / "url"
    secret.write_text("redis://127.0.0.1:6379/2", encoding="utf-8")
    path.write_text(block.replace("/run/secrets/crm-broker-url", str(secret)), encoding="utf-8")
    code, output = run(programs, "check", "--config.file", str(path), "--application=shop", "--listen=0")
    assert code in {0, 1}, output
    assert "error:" not in output


@pytest.mark.skipif(not is_installed(), reason="rabbitmq-server is not installed")
def test_brokers_of_two_kinds(programs: Programs) -> None:
    """A metric that both Redis and RabbitMQ have is declared once when one exporter has applications on both."""
    rabbit = RabbitServer(programs.folder / "rabbit")
    try:
        site = Applications(programs, ("shop",), celery={"inspect_interval": 1})
        site.trees["mails"] = {"broker_url": rabbit.url(), "queues": {"names": ["celery"]}}
        site.write()
        exporter = site.exporter()
        for name in ("shop", "mails"):
            programs.worker(Sender(site.trees[name]["broker_url"]), name, WorkerOptions(arguments=BEATING))
        publisher = programs.publisher(rabbit)
        for _ in range(4):
            publisher.send_task("counted")
        site.published["mails"] = site.ended["mails", "success"] = 4
        site.publish("shop", Shape(tasks=9))
        site.agree(exporter)
        rows = {"shop", "mails"}
        consumed = partial(exporter.labels, "celery_queue_consumers")
        eventually(lambda: rows == {row["application"] for row in consumed() if row["queue"] == "celery"})
        text = exporter.get("/metrics").text
        heads = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
        assert len(heads) == len(set(heads))
        assert exporter.value("celery_exporter_broker_up", transport="amqp", application="mails") == 1
        assert exporter.value("redis_up", redis="broker", application="shop") == 1

        def share() -> None:
            site.add("crm")
            site.write()

        site.trees["mails"]["result_backend_url"] = site.server.url(9)
        reload(exporter, site.write)  # replaces the application, whose results are now on another one's server
        reload(exporter, share)
        del site.trees["crm"], site.trees["shop"]
        reload(exporter, site.write)  # no other application uses that server now, and the queues are read as before
        eventually(lambda: exporter.value("redis_up", redis="results", application="mails") == 1)
        assert exporter.value("celery_exporter_broker_up", transport="amqp", application="mails") == 1
    finally:
        rabbit.stop()
