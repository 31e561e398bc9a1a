# SPDX-License-Identifier: Apache-2.0
"""Run unchanged commands of the documentation that no other test runs."""

import http.client
import os
import re
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.conftest import Programs
from tests.integration.processes import clean_environment, free_port
from tests.integration.suite_programs import suite_program
from tests.support.certificates import Authority
from tests.support.documented_commands import PAGES, QUERIED, RENDERED, ROOT, RUN, STARTED, commands
from tests.support.pages import blocks
from tests.support.project_files import project_files
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers


def typed_for(test: str) -> list[str]:
    """Return the commands that a test of this module runs."""
    starts = tuple(start for start, named in RUN.items() if named == test)
    return sorted({typed.command for typed in commands() if typed.command.startswith(starts)})


OF_PROMETHEUS_3 = ("always_scrape_classic_histograms", "convert_classic_histograms_to_nhcb")
"""Settings of a scrape job that earlier versions refuse."""
JOBS = sorted(
    {
        block.text
        for page in PAGES
        for block in blocks(page)
        if block.language == "yaml" and "scrape_configs:" in block.text
    }
)


def needs_3(text: str) -> bool:
    """Return whether a configuration has a setting that Prometheus 2 refuses."""
    return any(setting in text for setting in OF_PROMETHEUS_3)


@pytest.fixture
def programs_on_path(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which the exporter is installed, and kubectl accepts its input."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in (
        ("celery-redis-exporter", f'exec {sys.executable} -m celery_redis_exporter "$@"'),
        ("kubectl", f"cat >{tmp_path / 'applied'}"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(stat.S_IRWXU)
    environment = clean_environment()
    return environment | {"PATH": os.pathsep.join([str(folder), environment["PATH"]])}


@pytest.mark.parametrize("command", typed_for(RENDERED))
def test_commands_that_end_do_so_well(command: str, tmp_path: Path, programs_on_path: dict[str, str]) -> None:
    """A command that renders or checks something returns 0 and prints no error."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "alerts").symlink_to(ROOT / "alerts")
    own = command.replace("/var/lib/grafana", str(tmp_path / "grafana"))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", own],
        cwd=tmp_path, env=programs_on_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    if "> " in command:
        assert any(path.stat().st_size for path in tmp_path.glob("*.y*ml"))


@pytest.mark.parametrize("command", typed_for(STARTED))
def test_exporters_start(programs: Programs, command: str, programs_on_path: dict[str, str]) -> None:
    """An exporter that is started with a documented command, with another server's address, starts."""
    port = str(programs.redis().port)
    typed = re.sub(r"(localhost|redis):6379", f"127.0.0.1:{port}", command) + " --web.listen-address=127.0.0.1:0"
    shutil.copy(ROOT / "deploy" / "web-config.example.yml", programs.folder / "web.yml")
    Authority(programs.folder, "ca").issue("tls")
    typed = with_files(programs, typed, port)
    environment = programs_on_path | {"EXPORTER_LOG__FORMAT": "json"}
    programs.run("bash", "-c", f"exec {typed}", environment=environment).wait_for('"app.started"')


def with_files(programs: Programs, command: str, port: str) -> str:
    """Write the settings files of the documentation, with the servers on a port. Return a command that reads them."""
    secret = programs.folder / "secret"
    secret.write_text(f"redis://127.0.0.1:{port}/2", encoding="utf-8")
    for name in ("settings.yml", "applications.yml"):
        (text,) = [block.text for page in PAGES for block in blocks(page) if block.file == name]
        text = re.sub(r"(localhost|redis|results):6379", f"127.0.0.1:{port}", text)
        text = text.replace("/run/secrets/crm-broker-url", str(secret))
        (programs.folder / name).write_text(text, encoding="utf-8")
        command = command.replace(f"={name}", f"={programs.folder}/{name}")
    return command.replace("=web.yml", f"={programs.folder}/web.yml")


@pytest.mark.parametrize("command", typed_for(QUERIED))
def test_commands_on_a_server_end_well(programs: Programs, command: str, programs_on_path: dict[str, str]) -> None:
    """A documented command that reads a server returns 0 and prints something."""
    server = programs.redis()
    programs.worker(server)
    typed = re.sub(r"--listen=\d+s", "--listen=2s", command.replace("localhost:6379", f"127.0.0.1:{server.port}"))
    typed = with_files(programs, typed, str(server.port))
    if "localhost:9808" in typed:
        flags = [f"--config.file={programs.folder}/applications.yml"] if "--application" in typed else []
        exporter = programs.exporter(*(flags or ("--broker-url", server.url())))
        typed = typed.replace("localhost:9808", f"127.0.0.1:{exporter.port}")
    process = programs.run("bash", "-c", f"exec {typed}", environment=programs_on_path)
    assert process.ended() == 0, process.output()
    assert process.output()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not on PATH")
@pytest.mark.parametrize(
    "text", [pytest.param(text, marks=pytest.mark.newest("promtool-3") if needs_3(text) else ()) for text in JOBS]
)
def test_scrape_jobs_are_valid(text: str, tmp_path: Path) -> None:
    """Prometheus accepts each documented configuration."""
    (tmp_path / "alerts").symlink_to(ROOT / "alerts")
    (tmp_path / "celery.rules.yml").symlink_to(ROOT / "alerts" / "celery-tasks.yml")
    (tmp_path / "prometheus.yml").write_text(text, encoding="utf-8")
    program = suite_program("promtool-3") if needs_3(text) else "promtool"
    command = [program, "check", "config", "prometheus.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stdout


@pytest.mark.slow  # pip installs it with all dependencies
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("page", "place"), [("README.md", "exporter"), ("deploy/README.md", "opt/celery-redis-exporter")]
)
def test_the_installation_as_typed(page: str, place: str, tmp_path: Path) -> None:
    """The documented installation commands, run in a checkout, install the program."""
    lines = [
        command.replace("/opt/", "~/opt/").replace("/etc/", "~/etc/")
        for block in blocks(ROOT / page)
        for command in block.commands
        if re.search(r"venv|pip|activate|^install", command)
    ]
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    environment = clean_environment() | {"HOME": str(tmp_path), "PYTHONPATH": ""}
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join([*lines, f"~/{place}/bin/celery-redis-exporter --version"])],
        cwd=ROOT, env=environment, input="word\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("celery-redis-exporter ")


@pytest.mark.slow  # pip installs it with all dependencies
@pytest.mark.timeout(300)
def test_the_demo_installs_itself(programs: Programs, tmp_path: Path) -> None:
    """README's first command, run in a new checkout, starts an exporter that counts tasks."""
    checkout = tmp_path / "checkout"
    for path in project_files():
        if path.suffix != ".png":
            target = checkout / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target, follow_symlinks=False)
    port = free_port()
    demo = programs.run("bash", str(checkout / "deploy/demo.sh"), "--port", str(port), environment={"PYTHONPATH": ""})

    def counts() -> bool:
        assert demo.exit_code is None, demo.tail()
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            try:
                connection.request("GET", "/metrics")
                return 'state="success",task="shop.charge_card"' in connection.getresponse().read().decode()
            except OSError:
                return False

    eventually(counts, 240)
    assert (checkout / ".demo" / "bin" / "celery-redis-exporter").exists()
