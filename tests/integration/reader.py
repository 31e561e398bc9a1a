# SPDX-License-Identifier: Apache-2.0
"""Follow a page as a reader does, from its first line to its last: write its files and type its commands.

Input: blocks of a page. Output: running programs. Ports, home folder and programs on PATH are separate from the
machine's. Programs that the page installs are already available.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.integration.conftest import Programs
from tests.integration.processes import ROOT, Process, clean_environment, free_port
from tests.support.pages import Block

INSTALLS = ("sudo ", "python3 -m venv", ". ~/exporter/bin/activate", "pip install")
"""Commands that are not typed, because other tests run them or they need root."""
ENDLESS = re.compile(r"celery --app=\w+ (worker|beat)|celery-redis-exporter --|prometheus --")


class Reader:
    """Types commands in a home folder. ``pythons`` contains the Python of each program that is not a system program.

    ``environment`` is added to that of each program. ``before`` maps the beginning of a command to the condition for
    which the reader waits before typing it.
    """

    def __init__(self, programs: Programs, pythons: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.home = programs.folder / "home"
        self.ports = {"6379": programs.redis().port, "9808": free_port(), "9090": free_port()}
        self.processes: dict[str, Process] = {}
        self._programs = programs
        self._place = ROOT
        path = os.pathsep.join([str(self._shims(pythons)), os.environ["PATH"]])
        self._environment = clean_environment() | dict(environment) | {"HOME": str(self.home), "PATH": path}

    def follow(self, blocks: list[Block], before: Mapping[str, Callable[[], object]]) -> list[str]:
        """Follow the blocks in their order. Return the output of the commands that ended."""
        outputs = []
        for block in blocks:
            if block.file:
                self._write(block.file, block.text)
            for command in block.commands:
                for beginning, condition in before.items():
                    if command.startswith(beginning):
                        condition()
                outputs.append(self.type(command))
        return outputs

    def type(self, command: str) -> str:
        """Type a command. If it ends, check that its exit code is 0 and return its output."""
        if command.startswith(INSTALLS):
            return ""
        command = self._own(command)
        if command.startswith("cd "):
            self._place = Path(command.removeprefix("cd ").replace("~", str(self.home)))
            return ""
        if ENDLESS.match(command):
            self._start(command)
            return ""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self._place, env=self._environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, command: str) -> None:
        listen = {"celery-redis-exporter": "9808", "prometheus": "9090"}.get(command.split(maxsplit=1)[0])
        if listen:
            command += f" --web.listen-address=127.0.0.1:{self.ports[listen]}"
        typed = f"cd {self._place} && exec {command}"
        self.processes[command] = self._programs.run("bash", "-c", typed, environment=self._environment)

    def _write(self, name: str, text: str) -> None:
        path = self._place / name
        assert path.is_relative_to(self.home)
        existing = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(existing + self._own(text), encoding="utf-8")

    def _own(self, text: str) -> str:
        for port, own in self.ports.items():
            text = text.replace(f"localhost:{port}", f"127.0.0.1:{own}")
        return text

    def _shims(self, pythons: Mapping[str, str]) -> Path:
        folder = self.home / "bin"
        folder.mkdir(parents=True)
        own = {"celery-redis-exporter": f"{sys.executable} -m celery_redis_exporter"}
        for name, program in {**own, **pythons}.items():
            (folder / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n', encoding="utf-8")
            (folder / name).chmod(stat.S_IRWXU)
        return folder
