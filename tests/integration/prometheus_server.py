"""A real Prometheus on a free loopback port, with a folder of its own.

Takes a configuration, gives answers to queries. Never keeps what it scraped longer than the folder lives.
"""

import http.client
import json
import shutil
import urllib.parse
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.integration.processes import Process, free_port
from tests.waiting import eventually

Vector = list[tuple[dict[str, str], float]]


class PrometheusServer:
    """One server, started and ready; ``config_text`` is its whole configuration."""

    def __init__(self, folder: Path, config_text: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(config_text, encoding="utf-8")
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.process = Process(command, folder / "prometheus.log")
        try:
            eventually(self._is_ready, within=30)
        except AssertionError:
            self.process.kill()
            raise

    def query(self, expression: str) -> Vector:
        """Ask an instant query; give the labels and the value of each series of the answer."""
        status, body = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        answer = json.loads(body)
        assert status == 200, f"{expression}: {answer['error']}"
        data: dict[str, Any] = answer["data"]
        assert data["resultType"] == "vector", expression
        return [(dict(series["metric"]), float(series["value"][1])) for series in data["result"]]

    def value(self, expression: str) -> float | None:
        """Give the value of a query that answers with one series at most; None where it has none."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression}: {found}"
        return found[0][1] if found else None

    def stop(self) -> None:
        """End the server."""
        self.process.end()

    def _is_ready(self) -> bool:
        assert self.process.exit_code is None, self.process.tail()
        try:
            return self._get("/-/ready")[0] == 200
        except ConnectionRefusedError:
            return False

    def _get(self, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()


def is_installed() -> bool:
    """Whether the system has Prometheus and its tool."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None
