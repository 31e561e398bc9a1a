# SPDX-License-Identifier: Apache-2.0
"""Run the commands of the quickstart's demo one by one, from an empty folder to a firing alert."""

import http.client
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.integration.processes import ROOT, Process, clean_environment, free_port, source_path
from tests.support.pages import blocks
from tests.support.waiting import eventually

NEEDED = ("prometheus", "prometheus-alertmanager", "amtool")
pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(480),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason="Prometheus is not on PATH"),
]
ENDLESS = ("bash", "prometheus", "prometheus-alertmanager")
"""Commands that run until they are stopped."""
QUICKSTART = ROOT / "deploy" / "docs" / "quickstart.md"
PORTS = ("9808", "9090", "9093")


def commands() -> list[str]:
    """Return the commands of the section."""
    return [command for block in blocks(QUICKSTART, "Demo") for command in block.commands]


class Newcomer:
    """A reader who types the commands of the page with other ports and folders."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self._folder = folder
        self._ending = ending
        self.ports = {port: str(free_port()) for port in PORTS}
        (folder / ".demo").mkdir()
        configs = folder / "deploy" / "prometheus"
        configs.mkdir(parents=True)
        for name in ("demo.yml", "demo-alertmanager.yml"):
            text = (ROOT / "deploy" / "prometheus" / name).read_text(encoding="utf-8")
            (configs / name).write_text(self._own(text), encoding="utf-8")

    def type(self, line: str) -> str:
        """Type a command. Return its output if it ends."""
        words = shlex.split(self._own(line))
        program = words[0]
        if program.startswith(".demo/bin/"):
            words[:1] = [sys.executable, "-m", "celery_redis_exporter"]
        if program == "bash":
            words = [sys.executable, "-m", "celery_redis_exporter", "demo", "--port", self.ports["9808"]]
        port = {"prometheus": "9090", "prometheus-alertmanager": "9093"}.get(program)
        if port:
            words.append(f"--web.listen-address=127.0.0.1:{self.ports[port]}")
        if program in ENDLESS:
            environment = {"PYTHONPATH": source_path(ROOT)}
            process = Process(words, self._folder / f"{program}.log", environment)
            self._ending.callback(process.end, 8)
            return ""
        return self._run(words)

    def page(self) -> str:
        """Return the status page."""
        with closing(http.client.HTTPConnection("127.0.0.1", int(self.ports["9808"]), timeout=10)) as connection:
            try:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()
            except OSError:
                return ""

    def _run(self, words: list[str]) -> str:
        target = None
        if ">" in words:
            place = words.index(">")
            target, words = words[place + 1], words[:place]
        # On 80 columns `top` may cut the names of tasks to make room for other columns.
        environment = clean_environment() | {"PYTHONPATH": source_path(ROOT), "COLUMNS": "120"}
        done = subprocess.run(
            words, cwd=self._folder, env=environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        if target is not None:
            (self._folder / target).write_text(done.stdout, encoding="utf-8")
        return done.stdout

    def _own(self, text: str) -> str:
        for port, own in self.ports.items():
            text = text.replace(f"localhost:{port}", f"127.0.0.1:{own}")
        return re.sub(r"=(?=deploy/|\.demo/)", f"={self._folder}/", text)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """Yield a newcomer. The programs that they started are stopped after the test."""
    with ExitStack() as ending:
        yield Newcomer(tmp_path, ending)


def test_the_first_hour(newcomer: Newcomer) -> None:
    """The page's commands lead to a status page, the screen of top, and an alert that fires because tasks fail."""
    typed = {
        line.split()[0].rpartition("/")[2] + " " + line.split()[1]: line for line in commands() if "sudo" not in line
    }
    top, amtool = typed.pop("celery-redis-exporter top"), typed.pop("amtool --alertmanager.url=http://localhost:9093")
    for line in typed.values():
        newcomer.type(line)
    eventually(lambda: "shop.charge_card" in newcomer.page(), 60)
    assert "shop.charge_card" in newcomer.type(top)
    listing = f"{amtool} -o json"
    alerts = eventually(lambda: [found for found in _alerts(newcomer.type(listing)) if "task" in found], 240)
    assert {"CeleryTaskFailureRateCritical"} == {found["alertname"] for found in alerts}
    assert all(found["task"].startswith("shop.") for found in alerts)


def _alerts(text: str) -> list[dict[str, str]]:
    return [found["labels"] for found in json.loads(text)]
