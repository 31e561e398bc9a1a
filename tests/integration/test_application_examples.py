# SPDX-License-Identifier: Apache-2.0
"""Start the examples for several applications: those of the compose file and of systemd, and Prometheus's jobs."""

import shutil
import signal
from pathlib import Path

import psutil
import pytest
import yaml

from tests.bench.streams import Shape
from tests.deployment import compose, systemd
from tests.integration.applications import Applications
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import ROOT
from tests.support import yaml_text
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
PASSWORDS = {"shop": "sample-password", "billing": "sample-password"}


def with_servers(programs: Programs, text: str, places: dict[str, str]) -> str:
    """Return a settings file of two applications with real servers, and with local paths instead of a container's."""
    tree = yaml_text.parse(text)
    for name, application in tree["applications"].items():
        server = programs.redis(password=PASSWORDS[name])
        application["broker_url"] = server.url(user="", password="")
    dumped = yaml.safe_dump(tree)
    for inside, here in places.items():
        dumped = dumped.replace(inside, here)
    return dumped


def receives(exporter: Exporter, *names: str) -> None:
    """Wait until the exporter receives the events of exactly these applications and reads their servers."""

    def received() -> bool:
        found = [
            {row["application"] for row in exporter.labels(metric) if exporter.value(metric, **row) == 1}
            for metric in ("celery_exporter_event_stream_up", "redis_up")
        ]
        return found == [set(names)] * 2

    eventually(received)


def without_billing(path: Path) -> None:
    """Remove an application from a settings file as an editor does, which replaces the file."""
    tree = yaml_text.parse(path.read_text(encoding="utf-8"))
    del tree["applications"]["billing"]
    new = path.with_suffix(".new")
    new.write_text(yaml.safe_dump(tree), encoding="utf-8")
    new.replace(path)


def test_the_compose_file_s_exporter(programs: Programs) -> None:
    """With the file's variables and mounts the exporter reads both applications, and SIGHUP applies a changed list."""
    tree = compose.read(file=compose.APPLICATIONS)
    service = tree["services"]["exporter"]
    places = {}
    for inside, source in compose.mounts(service, tree["secrets"], compose.APPLICATIONS.parent).items():
        place = programs.folder / inside.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        places[inside] = str(place)
        if source is not None:
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, place)
    variables = service["environment"]
    path = Path(variables["EXPORTER_CONFIG__FILE"].replace("/etc/", f"{programs.folder}/etc/"))
    path.write_text(with_servers(programs, path.read_text(encoding="utf-8"), places), encoding="utf-8")
    exporter = programs.exporter(environment=variables | {"EXPORTER_CONFIG__FILE": str(path)})
    receives(exporter, "shop", "billing")
    without_billing(path)
    exporter.process.signal(signal.SIGHUP)
    receives(exporter, "shop")


def test_the_unit_s_exporter(programs: Programs) -> None:
    """With the unit, drop-in and credentials the exporter reads both applications and reloads a changed list."""
    texts = [path.read_text(encoding="utf-8") for path in (systemd.UNIT, systemd.DROP_IN)]
    file = systemd.UNIT.with_suffix(".env").read_text(encoding="utf-8")
    state = programs.folder / "state"
    (state / systemd.UNIT.stem).mkdir(parents=True)
    service = systemd.read(*texts, environment_file=file, state=str(state))
    assert {"shop-broker-password", "billing-broker-password"} == set(service.credentials)
    credentials = programs.folder / "credentials"
    credentials.mkdir()
    for name in service.credentials:
        (credentials / name).write_text(f"{PASSWORDS[name.partition('-')[0]]}\n", encoding="utf-8")
    path = programs.folder / "applications.yml"
    text = (systemd.FOLDER / "applications.yml").read_text(encoding="utf-8")
    places = {systemd.CREDENTIALS: str(credentials)}
    path.write_text(with_servers(programs, text, places), encoding="utf-8")
    assert "/etc/celery-redis-exporter/applications.yml" == service.variables["EXPORTER_CONFIG__FILE"]
    exporter = programs.exporter(environment={**service.variables, "EXPORTER_CONFIG__FILE": str(path)})
    receives(exporter, "shop", "billing")
    without_billing(path)
    assert "ExecReload=/bin/kill -HUP $MAINPID" in texts[0].splitlines()
    exporter.process.signal(signal.SIGHUP)
    receives(exporter, "shop")


def test_the_limits_of_tasks_are_enough_for_forty_applications(programs: Programs) -> None:
    """Forty applications need more threads than the unit allows, and less than two thirds of the other limits."""
    texts = [path.read_text(encoding="utf-8") for path in (systemd.UNIT, systemd.DROP_IN)]
    alone, several = (
        int(systemd.read(*texts[:count], environment_file="", state="").limits["TasksMax"]) for count in (1, 2)
    )
    site = Applications(programs, tuple(f"a{number}" for number in range(40)))
    threads = psutil.Process(site.exporter().process.pid).num_threads()
    composed = compose.read(file=compose.APPLICATIONS)["services"]["exporter"]["pids_limit"]
    assert alone < threads < min(several, composed) * 2 / 3


def test_each_application_is_a_target(programs: Programs) -> None:
    """With the example's jobs each application has its own ``up``, and no series is missing or scraped twice."""
    site = Applications(programs, ("shop", "billing"))
    exporter = site.exporter()
    site.publish("shop", Shape(tasks=20))
    site.agree(exporter)
    text = (ROOT / "deploy" / "prometheus" / "applications.example.yml").read_text(encoding="utf-8")
    tree = yaml_text.parse(text.replace("localhost:9808", f"127.0.0.1:{exporter.port}").replace("15s", "1s"))
    del tree["rule_files"]
    prometheus = programs.prometheus(yaml.safe_dump(tree))
    up = 'up{job="celery", application!=""}'
    wanted = {"shop": 1.0, "billing": 1.0, "crm": 0.0}
    eventually(lambda: wanted == {row["application"]: value for row, value in prometheus.query(up)})
    eventually(lambda: 20 == prometheus.value("sum(celery_tasks_sent_total)"))
    assert prometheus.value('count(celery_tasks_sent_total{application!="shop"})') is None
    assert [] == prometheus.query('{exported_application!=""}')
    assert 1 == eventually(lambda: prometheus.value("count(celery_exporter_build_info)"))
    shared = prometheus.query(f'redis_up{{redis="broker@localhost:{site.server.port}"}}')
    # The job of the applications, so that alerts about the server inhibit theirs.
    assert [("celery", None)] == [(row["job"], row.get("application")) for row, _ in shared]
    assert 1 == prometheus.value('up{job="celery", application=""}')
    of_process = 'count({job="celery", application="", __name__!~"up|scrape_.+"})'
    kept = 'scrape_samples_post_metric_relabeling{job="celery", application=""}'
    eventually(lambda: prometheus.value(of_process) == prometheus.value(kept) is not None)
