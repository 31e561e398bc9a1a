# SPDX-License-Identifier: Apache-2.0
"""A pod of ``deploy/`` with RabbitMQ, TLS and a password: probes and Prometheus use the addresses in its manifests."""

import http.client
import re
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from tests.deployment import chart, kustomize
from tests.deployment.manifests import DEPLOY, Manifest, of_kind
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.rabbitmq_server import RabbitServer, is_installed
from tests.support.certificates import Authority
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers
PASSWORD = "correct horse"
VALUES = {
    "secret": {"name": "rabbitmq", "brokerUrlKey": "broker-url"},
    "web": {"configSecret": "web", "tlsSecret": "web-tls", "scrapeSecret": "scrape"},
    "serviceMonitor": {"enabled": True},
    "networkPolicy": {"egressPorts": [5672]},
}


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """Yield one server for all tests."""
    if not is_installed():
        pytest.skip("rabbitmq-server is not installed")
    server = RabbitServer(Path(tmp_path_factory.mktemp("rabbit")) / "rabbit")
    try:
        yield server
    finally:
        server.stop()


class Cluster:
    """A pod's exporter as a process, with the files of its Secrets in a folder."""

    def __init__(self, programs: Programs, found: list[Manifest], broker_url: str) -> None:
        (deployment,), (self.monitor,) = of_kind(found, "Deployment"), of_kind(found, "ServiceMonitor")
        (self.container,) = deployment["spec"]["template"]["spec"]["containers"]
        self.folder = programs.folder / "secrets"
        self.folder.mkdir()
        (endpoint,) = self.monitor["spec"]["endpoints"]
        self.endpoint: dict[str, Any] = endpoint
        self.authority = Authority(self.folder, "authority")
        pair = self.authority.issue("exporter", host=endpoint["tlsConfig"]["serverName"])
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        page = (DEPLOY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
        (documented,) = re.findall(r"```yaml\n(tls_server_config:.*?)```", page, re.DOTALL)
        texts = {
            "broker-url": broker_url,
            "web.yml": documented.replace("$2y$10$...", hashed),
            "tls.crt": pair.certificate.read_text(encoding="utf-8"),
            "tls.key": pair.key.read_text(encoding="utf-8"),
            "password": PASSWORD,
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        variables = {row["name"]: row["value"] for row in self.container["env"]}
        here = {
            name: str(self.folder / Path(value).name) if name.endswith("_FILE") else value
            for name, value in variables.items()
        }
        self.exporter: Exporter = programs.exporter(environment=here)

    def status(self, path: str, scheme: str) -> int:
        """Send a request without a password, and without verifying the certificate, as the kubelet does."""
        context = ssl._create_unverified_context()  # noqa: S323 -- there is no public one
        connect = {"HTTP": http.client.HTTPConnection, "HTTPS": http.client.HTTPSConnection}[scheme]
        options: dict[str, Any] = {"context": context} if scheme == "HTTPS" else {}
        with closing(connect("127.0.0.1", self.exporter.port, timeout=20, **options)) as connection:
            connection.request("GET", path)
            return int(connection.getresponse().status)

    def scrape_config(self) -> dict[str, Any]:
        """Return the scrape configuration that the operator generates from the monitor."""
        tls = {"ca_file": str(self.authority.certificate), "server_name": self.endpoint["tlsConfig"]["serverName"]}
        return {
            "job_name": "celery",
            "scheme": self.endpoint["scheme"],
            "tls_config": tls,
            "basic_auth": {"username": "prometheus", "password_file": str(self.folder / "password")},
            "static_configs": [{"targets": [f"127.0.0.1:{self.exporter.port}"]}],
        }


@pytest.mark.parametrize("kind", ["overlay", "chart"])
def test_probes_and_prometheus_reach_a_protected_pod(kind: str, rabbit: RabbitServer, programs: Programs) -> None:
    """Probes succeed without a password, Prometheus needs one, and the exporter uses the broker URL in its Secret."""
    overlay = DEPLOY / "kubernetes" / "overlays" / "rabbitmq-tls"
    found = kustomize.resolve(overlay) if kind == "overlay" else chart.manifests(chart.render(VALUES))
    cluster = Cluster(programs, found, rabbit.url())
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = cluster.container[probe]["httpGet"]
        assert 200 == cluster.status(asked["path"], asked["scheme"]), probe
    assert [401, 401] == [cluster.status(path, "HTTPS") for path in ("/-/ready", "/metrics")]
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    prometheus = programs.prometheus(yaml.safe_dump({"global": quick, "scrape_configs": [cluster.scrape_config()]}))
    eventually(lambda: 1 == prometheus.value('up{job="celery"}'))
    eventually(lambda: 1 == prometheus.value('celery_exporter_broker_up{transport="amqp"}'))
    eventually(lambda: 1 == prometheus.value("celery_exporter_event_stream_up"))
