# SPDX-License-Identifier: Apache-2.0
"""The Alertmanager example with other addresses: its messages to Slack, Discord, Telegram and a dead man's switch."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.integration import alertmanager_server
from tests.integration.alertmanager_server import AlertmanagerServer, Inbox, listening_inbox
from tests.integration.processes import ROOT
from tests.integration.promtools import said
from tests.integration.suite_programs import either_program, suite_program
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

FOLDER = ROOT / "alerts" / "alertmanager"
LINKS = {
    "runbook_url": "https://runbooks.example#celeryworkerdown",
    "dashboard_url": "https://grafana.example/d/celery-redis-exporter-workers",
}
SUMMARY = "A Celery worker stopped sending heartbeats."
DESCRIPTION = "w1@host sends no heartbeat any more & did not stop cleanly."
ADDRESSES = {
    "https://discord.com/api/webhooks/REPLACE": "/discord",
    "https://dead-man.example/REPLACE": "/dead-man",
}


class Post(NamedTuple):
    """An Alertmanager with the example's configuration, and the inbox at all its addresses."""

    alertmanager: AlertmanagerServer
    inbox: Inbox

    def send(self, name: str, severity: str, links: Mapping[str, str] = LINKS, **more: str) -> None:
        """Send an alert."""
        labels = {"alertname": name, "severity": severity, "job": "celery", "namespace": "shop", **more}
        annotations = {"summary": SUMMARY, "description": DESCRIPTION, **links}
        self.alertmanager.send([{"labels": labels, "annotations": annotations}])

    def first(self, path: str) -> dict[str, Any]:
        """Wait for the first message to a path and return its body."""
        return eventually(lambda: self.inbox.messages(path))[0].body


def addressed(text: str, inbox: Inbox, folder: Path) -> dict[str, Any]:
    """Return the example with loopback addresses and short waits, without office hours and e-mail."""
    for address, path in ADDRESSES.items():
        assert address in text
        text = text.replace(address, inbox.url + path)
    config: dict[str, Any] = yaml_text.parse(text)
    (folder / "slack").write_text(f"{inbox.url}/slack", encoding="utf-8")
    config["templates"] = [str(FOLDER / "templates" / "*.tmpl")]
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    for route in config["route"]["routes"]:
        route.pop("active_time_intervals", None)
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    receivers["slack"]["slack_configs"][0]["api_url_file"] = str(folder / "slack")
    receivers["telegram"]["telegram_configs"][0]["api_url"] = inbox.url
    del receivers["email"]["email_configs"]
    return config


@pytest.fixture(params=[alertmanager_server.program(), "alertmanager-0.33"], ids=["the system's", "the newest"])
def post(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Post]:
    """Yield the example's Alertmanager and its inbox."""
    with ExitStack() as ending:
        inbox = ending.enter_context(listening_inbox())
        config = addressed((FOLDER / "alertmanager.example.yml").read_text(encoding="utf-8"), inbox, tmp_path)
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        program = either_program(request.param)
        alertmanager = AlertmanagerServer(tmp_path / "alertmanager", tmp_path / "alertmanager.yml", program)
        ending.callback(alertmanager.stop)
        yield Post(alertmanager, inbox)


def test_messages_are_readable(post: Post) -> None:
    """Each message contains the severity, the summary, the value, the place, and links to runbook and dashboard."""
    post.send("CeleryWatchdog", "none")
    post.send("CeleryWorkerDown", "warning", worker="w1@host")
    post.send("CeleryTaskFailureRateCritical", "critical")  # inhibits none of the others
    post.send("RedisHitRateLow", "info", redis="broker")
    attachment = post.first("/slack")["attachments"][0]
    assert f"WARNING: {SUMMARY} [shop/celery]" == attachment["title"]
    links = f"<{LINKS['runbook_url']}|Runbook>  <{LINKS['dashboard_url']}|Dashboard>"
    assert f"• {DESCRIPTION}\n{links}" == attachment["text"]
    assert "warning" == attachment["color"]
    embed = post.first("/discord")["embeds"][0]
    assert f"INFO: {SUMMARY} [shop/celery]" == embed["title"]
    lines = [f"- {DESCRIPTION}", f"Runbook: {LINKS['runbook_url']}", f"Dashboard: {LINKS['dashboard_url']}"]
    assert lines == embed["description"].strip().split("\n")
    telegram = post.first("/botREPLACE/sendMessage")
    escaped = DESCRIPTION.replace("&", "&amp;")
    assert telegram["text"].startswith(f"<b>CRITICAL: {SUMMARY} [shop/celery]</b>\n• {escaped}\nRunbook: ")
    assert "firing" == post.first("/dead-man")["status"]


def test_links_that_lead_nowhere_are_left_out(post: Post) -> None:
    """No message contains the relative links that the rules of this repository have."""
    relative = {
        "runbook_url": "alerts/runbooks.md#celeryworkerdown",
        "dashboard_url": "/d/celery-redis-exporter-workers",
    }
    for severity in ("warning", "critical", "info"):
        post.send("CeleryWorkerDown", severity, relative, worker=severity)
    assert f"• {DESCRIPTION}" == post.first("/slack")["attachments"][0]["text"].strip()
    assert f"- {DESCRIPTION}" == post.first("/discord")["embeds"][0]["description"].strip()
    assert post.first("/botREPLACE/sendMessage")["text"].strip().endswith(f"• {DESCRIPTION.replace('&', '&amp;')}")


def test_several_alerts_link_the_dashboard_of_all(post: Post) -> None:
    """A message about several queues links to their dashboard for the job, without selecting a queue."""
    base = "https://grafana.example/d/celery-redis-exporter-queues?from=now-3h&var-job=celery"
    post.alertmanager.send([
        {
            "labels": {"alertname": "CeleryQueueLong", "severity": "warning", "job": "celery", "queue": queue},
            "annotations": LINKS | {"description": queue, "dashboard_url": f"{base}&var-queue={queue}"},
        }
        for queue in ("mail", "video")
    ])  # fmt: skip
    text = eventually(
        lambda: [
            message.body["attachments"][0]["text"]
            for message in post.inbox.messages("/slack")
            if "video" in message.body["attachments"][0]["text"] and "mail" in message.body["attachments"][0]["text"]
        ]
    )[0]
    assert text.endswith(f"<{LINKS['runbook_url']}|Runbook>  <{base}|Dashboard>")


@pytest.mark.parametrize("names", [("amtool-0.28", "alertmanager-0.28"), ("amtool-0.33", "alertmanager-0.33")])
def test_teams(tmp_path: Path, names: tuple[str, str]) -> None:
    """Alertmanager from 0.28 on loads the example for Teams, and sends it the same title and text as the others."""
    amtool, program = map(suite_program, names)
    said(amtool, "check-config", FOLDER / "teams.example.yml")
    config = yaml_text.parse((FOLDER / "teams.example.yml").read_text(encoding="utf-8"))
    with ExitStack() as ending:
        inbox = ending.enter_context(listening_inbox())
        (tmp_path / "url").write_text(f"{inbox.url}/teams", encoding="utf-8")
        config["templates"] = [str(FOLDER / "templates" / "*.tmpl")]
        config["route"] |= {"group_wait": "0s"}
        config["receivers"][0]["msteamsv2_configs"][0]["webhook_url_file"] = str(tmp_path / "url")
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        alertmanager = AlertmanagerServer(tmp_path / "alertmanager", tmp_path / "alertmanager.yml", program)
        ending.callback(alertmanager.stop)
        post = Post(alertmanager, inbox)
        post.send("CeleryWorkerDown", "warning", worker="w1@host")
        body = post.first("/teams")["attachments"][0]["content"]["body"]
    assert f"WARNING: {SUMMARY} [shop/celery]" == body[0]["text"]
    assert f"- {DESCRIPTION}" in body[1]["text"]
    assert f"Runbook: {LINKS['runbook_url']}" in body[1]["text"]


def test_what_follows_is_not_said(post: Post) -> None:
    """When the broker is down, dependent alerts are inhibited, and independent alerts are sent."""
    post.send("RedisDown", "critical", redis="broker")
    post.first("/botREPLACE/sendMessage")
    post.send("CeleryQueueLong", "warning", queue="mail")
    post.send("RedisMemoryHigh", "warning", redis="broker")
    post.send("RedisConnectionsHigh", "warning", redis="results")
    post.send("CeleryExporterBug", "warning")
    eventually(lambda: len(post.inbox.messages("/slack")) == 2)
    states = {"RedisDown": {"active"}, "CeleryQueueLong": {"suppressed"}, "RedisMemoryHigh": {"suppressed"}}
    assert states | {"RedisConnectionsHigh": {"active"}, "CeleryExporterBug": {"active"}} == post.alertmanager.states()


@pytest.mark.parametrize("name", ["CeleryExporterDown", "CeleryExporterAbsent"])
def test_an_exporter_inhibits_its_own_applications(post: Post, name: str) -> None:
    """An exporter with the label application inhibits alerts of that application, one without it those of its job."""
    for application in ("shop", "billing"):
        post.send("CeleryNoWorkersOnline", "critical", application=application)
    post.send("RedisDown", "critical", redis="results@redis:6379")
    post.send("CeleryNoWorkersOnline", "critical", job="other")
    post.send(name, "critical", application="shop")
    assert [("CeleryNoWorkersOnline", "shop")] == eventually(post.alertmanager.suppressed)
    post.send(name, "critical", instance="b:9808")
    of_job = [("CeleryNoWorkersOnline", "billing"), ("CeleryNoWorkersOnline", "shop"), ("RedisDown", "")]
    eventually(lambda: post.alertmanager.suppressed() == of_job)


def test_an_exporter_of_several_targets_is_reported_once(post: Post) -> None:
    """The alert about a process inhibits those about the targets of its applications, not those of other exporters."""
    for application, instance in (("billing", "b:9808"), ("crm", "a:9808"), ("shop", "a:9808")):
        post.send("CeleryExporterDown", "critical", application=application, instance=instance)
    post.send("CeleryExporterDown", "critical", instance="a:9808")
    inhibited = [("CeleryExporterDown", "crm"), ("CeleryExporterDown", "shop")]
    eventually(lambda: post.alertmanager.suppressed() == inhibited)


def test_a_shared_broker_inhibits_alerts_of_its_applications(post: Post) -> None:
    """If a server of several applications is down, that its applications have no broker is inhibited, nothing else."""
    for application in ("billing", "shop"):
        post.send("CeleryBrokerDown", "critical", application=application, transport="redis")
        post.send("CeleryQueueStalled", "critical", application=application, job="other", queue="mail")
    post.send("RedisReadOnly", "critical", redis="broker@main", job="other")
    post.send("RedisDown", "critical", redis="broker@main")
    down = [("CeleryBrokerDown", "billing"), ("CeleryBrokerDown", "shop")]
    eventually(lambda: post.alertmanager.suppressed() == down)


def test_mail_is_readable(tmp_path: Path) -> None:
    """The HTML of the e-mail lists firing and resolved alerts, with their markup escaped."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).isoformat()
    alerts = [
        {"status": status, "startsAt": now, "annotations": {"description": text, **LINKS}, "labels": {}}
        for status, text in (("firing", "a < b"), ("resolved", "c"))
    ]
    data: dict[str, Any] = {
        "status": "firing",
        "alerts": alerts,
        "commonLabels": {"severity": "critical", "job": "celery"},
    }
    data |= {"commonAnnotations": {"summary": "Wrong.", **LINKS}}
    (tmp_path / "data.json").write_text(json.dumps(data), encoding="utf-8")
    page = said(
        "amtool", "template", "render", f"--template.glob={FOLDER / 'templates' / '*.tmpl'}", "--template.type=html",
        f"--template.data={tmp_path / 'data.json'}", '--template.text={{ template "celery.html" . }}',
    )  # fmt: skip
    assert "<b>CRITICAL: Wrong. [celery]</b>" in page
    assert "<li>a &lt; b</li>" in page
    assert "<li>resolved: c</li>" in page
    assert f'<a href="{LINKS["runbook_url"]}">Runbook</a>' in page
