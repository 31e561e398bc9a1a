# SPDX-License-Identifier: Apache-2.0
"""Run a real Prometheus on a free loopback port, with a dedicated folder.

Input: a configuration. Output: query results. The data is deleted with the folder.
"""

import http.client
import json
import shutil
import urllib.parse
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tests.integration.processes import Process, free_port
from tests.support.waiting import eventually

Vector = list[tuple[dict[str, str], float]]
Matrix = list[tuple[dict[str, str], list[float]]]


def scraping(rules: Path, **ports: int) -> str:
    """Return a configuration with these rules that scrapes one job per port every second."""
    jobs = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in ports.items()]
    quick = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return yaml.safe_dump({"global": quick, "rule_files": [str(rules)], "scrape_configs": jobs})


class PrometheusServer:
    """A server, started and ready. ``config_text`` is its whole configuration, ``flags`` are additional ones.

    ``program`` is the path of another program than the system's.
    """

    def __init__(self, folder: Path, config_text: str, *flags: str, program: str = "prometheus") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(config_text, encoding="utf-8")
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        command += flags
        self.process = Process(command, folder / "prometheus.log")
        with self.process.starting():
            eventually(self._is_ready)

    def query(self, expression: str) -> Vector:
        """Send an instant query. Return the labels and the value of each series of the result."""
        status, body = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        answer = json.loads(body)
        assert status == 200, f"{expression}: {answer['error']}"
        data: dict[str, Any] = answer["data"]
        assert data["resultType"] == "vector", expression
        return [(dict(series["metric"]), _number(series)) for series in data["result"]]

    def value(self, expression: str) -> float | None:
        """Return the value of a query with at most one series, or None if the result is empty."""
        found = self.query(expression)
        assert len(found) < 2, f"{expression}: {found}"
        return found[0][1] if found else None

    def query_range(self, expression: str, start: float, end: float, step: float) -> Matrix:
        """Send a range query. Return the labels and the values of each series of the result."""
        asked = {"query": expression, "start": start, "end": end, "step": step}
        series = self._ask("/api/v1/query_range", asked)["result"]
        return [(dict(row["metric"]), _numbers(row)) for row in series]

    def samples_read(self, expression: str, start: float, end: float, step: float) -> int:
        """Return the number of samples that a range query reads."""
        asked = {"query": expression, "start": start, "end": end, "step": step, "stats": "all"}
        return int(self._ask("/api/v1/query_range", asked)["stats"]["samples"]["totalQueryableSamples"])

    def samples(self, selector: str) -> Matrix:
        """Return the labels and every scraped value within the last hour of the series that a selector matches."""
        series = self._ask("/api/v1/query", {"query": f"{selector}[1h]"})["result"]
        return [(dict(row["metric"]), [float(value) for _, value in row["values"]]) for row in series]

    def label_values(self, label: str, series: str, start: float, end: float) -> list[str]:
        """Return the values of a label of the series that a selector matches."""
        values: list[str] = self._ask(f"/api/v1/label/{label}/values", {"match[]": series, "start": start, "end": end})
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health and its last error."""
        groups = self._ask("/api/v1/rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def at(self, expression: str, time: float) -> Vector:
        """Send an instant query for a moment."""
        data = self._ask("/api/v1/query", {"query": expression, "time": time})
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(dict(series["metric"]), _number(series)) for series in data["result"]]

    def exemplars(self, selector: str, start: float, end: float) -> list[tuple[dict[str, str], dict[str, str]]]:
        """Return the labels of each exemplar of a selector, after those of its series."""
        asked = {"query": selector, "start": start, "end": end}
        found = self._ask("/api/v1/query_exemplars", asked)
        return [(row["seriesLabels"], dict(one["labels"])) for row in found for one in row["exemplars"]]

    def own_metrics(self) -> str:
        """Return the server's own metrics."""
        return self._get("/metrics")[1]

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop the server."""
        self.process.end()

    def _is_ready(self) -> bool:
        assert self.process.exit_code is None, self.process.tail()
        try:
            return self._get("/-/ready")[0] == 200
        except ConnectionRefusedError:
            return False

    def _ask(self, path: str, parameters: dict[str, object]) -> Any:  # noqa: ANN401 -- JSON is anything
        status, body = self._get(f"{path}?{urllib.parse.urlencode(parameters)}")
        answer = json.loads(body)
        assert status == 200, f"{parameters}: {answer['error']}"
        return answer["data"]

    def _get(self, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()


def _number(series: dict[str, Any]) -> float:
    """Return the value of a series, or its count of observations if it is a native histogram."""
    return float(series["value"][1] if "value" in series else series["histogram"][1]["count"])


def _numbers(series: dict[str, Any]) -> list[float]:
    """Return the values of a series, or its counts of observations if it is a native histogram."""
    counts = [float(found["count"]) for _, found in series.get("histograms", ())]
    return [*(float(value) for _, value in series.get("values", ())), *counts]


def is_installed() -> bool:
    """Return whether Prometheus and promtool are installed on the system."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None
