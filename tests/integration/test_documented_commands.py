"""Commands of the pages, typed as they stand, which no other test runs."""

import http.client
import os
import shutil
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.conftest import Programs
from tests.integration.processes import clean_environment, free_port
from tests.support.documented_commands import RENDERED, ROOT, RUN, commands
from tests.support.project_files import project_files
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

STARTS = tuple(start for start, test in RUN.items() if test == RENDERED)
ENDING = sorted({typed.command for typed in commands() if typed.command.startswith(STARTS)})


@pytest.fixture
def programs_on_path(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which the exporter is installed, and kubectl takes what it is given."""
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


@pytest.mark.parametrize("command", ENDING)
def test_commands_that_end_do_so_well(command: str, tmp_path: Path, programs_on_path: dict[str, str]) -> None:
    """A command that renders or checks something ends with 0, and gives something."""
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "alerts").symlink_to(ROOT / "alerts")
    own = command.replace("/var/lib/grafana", str(tmp_path / "grafana"))
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", own],
        cwd=tmp_path, env=programs_on_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "bin"]
    assert done.stdout or any(path.stat().st_size for path in written)


@pytest.mark.slow  # pip installs it, with all that it needs
@pytest.mark.timeout(300)
def test_the_demo_installs_itself(programs: Programs, tmp_path: Path) -> None:
    """Who types README's first command in a fresh checkout has an exporter that counts tasks."""
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
