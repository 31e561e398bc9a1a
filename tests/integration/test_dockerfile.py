# SPDX-License-Identifier: Apache-2.0
"""Execute the Dockerfile's steps without an engine, and start the program of its entry point."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from celery_redis_exporter import __version__
from tests.deployment import dockerfile
from tests.deployment.replay import Replay, can_lock_down, locked_down
from tests.integration.conftest import Programs
from tests.integration.processes import Process, free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]
IMAGE = dockerfile.read()[-1]
USER = int(IMAGE.texts("USER")[-1].partition(":")[0])
LOOK = """
import json, os, pathlib
def refused(path):
    try:
        pathlib.Path(path, "written").write_text("x")
    except OSError:
        return True
    return False
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"user": os.getuid(), "rights": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
                  "refused": [refused(path) for path in (".", "/tmp", os.environ["PLACE"])]}))
"""


@pytest.fixture(scope="module")
def image() -> Iterator[Replay]:
    """Yield the image, built once, in a folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    folder.chmod(0o755)
    try:
        yield Replay(folder, dockerfile.read())
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def prison(image: Replay) -> list[str]:
    """Return the words that run a program as the image's user on a read-only file system."""
    if not can_lock_down():
        pytest.skip("needs root and mounts of its own")
    return locked_down(image.root, USER)


def run(image: Replay, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the image until it ends."""
    environment = image.environment | variables
    return subprocess.run(
        command, cwd=image.root, env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def test_the_image_holds_the_program_and_nothing_to_install_with(image: Replay) -> None:
    """Every step succeeds, and the image contains this version of the exporter, without pip."""
    program = shutil.which(IMAGE.words("ENTRYPOINT")[0], path=image.environment["PATH"])
    assert str(image.root / "opt/exporter/bin/celery-redis-exporter") == program
    assert f"celery-redis-exporter {__version__}\n" == run(image, program, "--version").stdout
    assert run(image, "python", "-c", "import pip").returncode != 0


def test_the_image_has_every_dependency_that_is_declared(image: Replay) -> None:
    """The lock file contains all declared dependencies: every module can be imported, except the screen of top."""
    code = (
        "import importlib, pkgutil, celery_redis_exporter as package\n"
        "for module in pkgutil.walk_packages(package.__path__, 'celery_redis_exporter.'):\n"
        "    try:\n"
        "        if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        print(module.name, error.name)\n"
    )
    done = run(image, "python", "-c", code)
    assert 0 == done.returncode, done.stderr
    assert [
        "celery_redis_exporter.cli.top.live rich",
        "celery_redis_exporter.cli.top.screen rich",
    ] == done.stdout.splitlines()


def test_nothing_can_be_written(image: Replay, prison: list[str]) -> None:
    """The image's user has no capabilities and can't write anywhere."""
    done = run(image, *prison, "python", "-c", LOOK, PLACE=str(image.root / "opt/exporter"))
    assert 0 == done.returncode, done.stderr
    assert {"user": USER, "rights": 0, "refused": [True] * 3} == json.loads(done.stdout)


def test_it_works_for_nobody_and_is_healthy(image: Replay, prison: list[str], programs: Programs) -> None:
    """As the image's user, on a read-only file system, the exporter serves, is healthy and stops cleanly."""
    server = programs.redis(password="word")
    secret = image.root / "broker-password"
    secret.write_text("word\n", encoding="utf-8")
    variables = {
        "EXPORTER_BROKER_URL": f"redis://127.0.0.1:{server.port}/0",
        "EXPORTER_BROKER_PASSWORD_FILE": str(secret),
        "EXPORTER_WEB__LISTEN_ADDRESS": f":{free_port()}",
    }
    assert 1 == run(image, *IMAGE.health_check(), **variables).returncode
    environment = image.environment | variables
    log = programs.folder / "image.log"
    process = Process(["env", "-C", str(image.root), *prison, *IMAGE.words("ENTRYPOINT")], log, environment)
    try:
        process.wait_for('"app.started"')
        eventually(lambda: run(image, *prison, *IMAGE.health_check(), **variables).returncode == 0)
        asked = run(image, "python", "-c", SCRAPE, **variables)
        assert 'redis_up{redis="broker"} 1.0' in asked.stdout.splitlines(), asked.stderr
        assert USER == Path(f"/proc/{process.pid}").stat().st_uid
    finally:
        code = process.end()
    assert 0 == code, process.tail()


SCRAPE = (
    "import os, urllib.request\n"
    "port = os.environ['EXPORTER_WEB__LISTEN_ADDRESS']\n"
    "print(urllib.request.urlopen(f'http://127.0.0.1{port}/metrics').read().decode())\n"
)
