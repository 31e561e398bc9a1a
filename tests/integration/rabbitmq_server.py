# SPDX-License-Identifier: Apache-2.0
"""A real RabbitMQ node on free loopback ports, with a folder, a name and a port mapper of its own.

Takes a folder, gives URLs and rabbitmqctl. Never touches a node that was not started here, nor the machine's epmd.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from tests.integration.processes import Process, clean_environment, free_port
from tests.support.certificates import Authority

# Debian's own wrapper in /usr/sbin changes the user, and with it the folders; the script behind it does not.
FOLDERS = os.pathsep.join(("/usr/lib/rabbitmq/bin", *os.get_exec_path(), "/usr/sbin"))
STARTED = "Starting broker... completed"


def is_installed() -> bool:
    """Whether the system has rabbitmq-server and Erlang's port mapper."""
    return bool(shutil.which("rabbitmq-server", path=FOLDERS) and shutil.which("epmd"))


class RabbitServer:
    """One node, started; ``stop`` and ``start`` keep its ports and what is durable."""

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
        """The running node."""
        assert self._node is not None, "the node is stopped"
        return self._node

    @property
    def processes(self) -> tuple[Process, ...]:
        """Everything that runs for it."""
        return (self._mapper, *((self._node,) if self._node else ()))

    def url(self, user: str = "guest", password: str = "guest", scheme: str = "amqp") -> str:
        """Give the URL of its first virtual host, for a user."""
        port = self.tls_port if scheme == "amqps" else self.port
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{port}//"

    def control(self, *words: str) -> str:
        """Run a command of rabbitmqctl; give what it prints."""
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
        """Start the node, and wait until it takes connections."""
        program = shutil.which("rabbitmq-server", path=FOLDERS)
        self._starts += 1
        log = self.folder / f"node-{self._starts}.log"
        self._node = Process([str(program)], log, self._environment)
        with self._node.starting():
            self._node.wait_for(STARTED, within=60)

    def kill(self) -> None:
        """End the node at once; its port refuses connections afterwards."""
        self.process.kill()
        self._node = None

    def freeze(self) -> None:
        """Let the node hang: its connections stay and answer nothing."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End the node and its port mapper."""
        if self._node is not None:
            self.kill()
        self._mapper.end()

    def _configure(self, distribution_port: int, mapper_port: int) -> dict[str, str]:
        """Write the configuration; give the environment that makes a node its own."""
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
