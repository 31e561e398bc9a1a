# SPDX-License-Identifier: Apache-2.0
"""Run a real RabbitMQ node on free loopback ports, with a dedicated folder, name and port mapper.

Input: a folder. Output: URLs and the output of rabbitmqctl. Only nodes that were started here are used, and never the
machine's epmd.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.integration.processes import Process, clean_environment, free_port
from tests.support.certificates import Authority

# Debian's wrapper in /usr/sbin changes the user, and so the folders. The script that it calls does not.
FOLDERS = os.pathsep.join(("/usr/lib/rabbitmq/bin", *os.get_exec_path(), "/usr/sbin"))
STARTED = "Starting broker... completed"


def is_installed() -> bool:
    """Return whether rabbitmq-server and Erlang's port mapper are installed on the system."""
    return bool(shutil.which("rabbitmq-server", path=FOLDERS) and shutil.which("epmd"))


class RabbitServer:
    """One node, started. ``stop`` and ``start`` keep its ports and everything durable."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.authority = Authority(folder, "authority")
        self._environment = self._configure(free_port(), free_port())
        self._mapper = Process(
            ["epmd", "-port", self._environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"], folder / "epmd.log"
        )
        self._node: Process | None = None
        self._starts = 0
        with self._mapper.starting():
            self.start()

    @property
    def process(self) -> Process:
        """Return the running node."""
        assert self._node is not None, "the node is stopped"
        return self._node

    @property
    def processes(self) -> tuple[Process, ...]:
        """Return all running processes of the node."""
        return (self._mapper, *((self._node,) if self._node else ()))

    def url(self, user: str = "guest", password: str = "guest", scheme: str = "amqp") -> str:
        """Return the URL of its first virtual host for a user."""
        port = self.tls_port if scheme == "amqps" else self.port
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{port}//"

    def control(self, *words: str) -> str:
        """Run a command of rabbitmqctl. Return its output."""
        program = shutil.which("rabbitmqctl", path=FOLDERS)
        done = subprocess.run(
            [str(program), "--quiet", "-n", self._environment["RABBITMQ_NODENAME"], *words],
            env=clean_environment() | self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def start(self) -> None:
        """Start the node, and wait until it accepts connections."""
        program = shutil.which("rabbitmq-server", path=FOLDERS)
        self._starts += 1
        log = self.folder / f"node-{self._starts}.log"
        self._node = Process([str(program)], log, self._environment)
        with self._node.starting():
            self._node.wait_for(STARTED, within=60)

    def kill(self) -> None:
        """Kill the node. Its port then refuses connections."""
        self.process.kill()
        self._node = None

    def freeze(self) -> None:
        """Freeze the node: its connections stay open, but it does not reply."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen node."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the node and its port mapper."""
        if self._node is not None:
            self.kill()
        self._mapper.end()

    def _configure(self, distribution_port: int, mapper_port: int) -> dict[str, str]:
        """Write the configuration. Return the environment that separates the node from other nodes."""
        pair = self.authority.issue("rabbit")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.authority.certificate}\n"
            f"ssl_options.certfile = {pair.certificate}\n"
            f"ssl_options.keyfile = {pair.key}\n"
            "ssl_options.verify = verify_none\n"
            "ssl_options.fail_if_no_peer_cert = false\n",
            encoding="utf-8",
        )
        (self.folder / "plugins").write_text("[].\n", encoding="utf-8")
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": f"{self.port}",
            "RABBITMQ_DIST_PORT": f"{distribution_port}",
            "ERL_EPMD_PORT": f"{mapper_port}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
