# SPDX-License-Identifier: Apache-2.0
"""Run real sentinels on free loopback ports that watch real Redis servers.

Input: the servers. Output: Celery's URL and transport options for them, and the current master. Only servers that were
started here are changed.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import redis

from tests.integration.processes import Process, free_port
from tests.integration.redis_servers import PROGRAM, RedisServer
from tests.support.waiting import eventually

NAME = "orders"
PASSWORD = "sentinel-PASSWORD"
DOWN_MS, FAILOVER_MS = 500, 1000


class Sentinel:
    """One sentinel, started. ``master`` is its first master. ``quorum`` is the number of votes to declare it down."""

    def __init__(self, folder: Path, master: RedisServer, quorum: int, program: str) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        file = folder / "sentinel.conf"
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"dir {folder}", f"requirepass {PASSWORD}",
            f"sentinel monitor {NAME} 127.0.0.1 {master.port} {quorum}",
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
            f"sentinel failover-timeout {NAME} {FAILOVER_MS}",
            *([f"sentinel auth-pass {NAME} {master.password}"] if master.password else []),
        ]  # fmt: skip
        file.write_text("\n".join([*lines, ""]), encoding="utf-8")
        self.process = Process([program, str(file), "--sentinel"], folder / "sentinel.log")
        with self.process.starting():
            self.process.wait_for("+monitor")

    def command(self, *words: object) -> Any:  # noqa: ANN401 -- a reply can be anything
        """Send one command. Return its reply."""
        client: Any = redis.Redis(port=self.port, password=PASSWORD, protocol=2)
        with closing(client):
            return client.execute_command("SENTINEL", *words)


class SentinelSet:
    """Several sentinels that watch one master together. ``password`` is that of Redis."""

    def __init__(self, folder: Path, servers: Sequence[RedisServer], count: int, program: str = PROGRAM) -> None:
        self.servers = list(servers)
        quorum = count // 2 + 1
        self.sentinels = [
            Sentinel(folder / f"sentinel-{number}", servers[0], quorum, program) for number in range(count)
        ]
        eventually(self._know_each_other)

    @property
    def options(self) -> dict[str, Any]:
        """Return Celery's transport options."""
        return {"master_name": NAME, "sentinel_kwargs": {"password": PASSWORD}, "socket_timeout": 1}

    @property
    def master(self) -> RedisServer:
        """Return the server that is the master according to the first sentinel."""
        _, port = self.sentinels[0].command("GET-MASTER-ADDR-BY-NAME", NAME)
        return next(server for server in self.servers if server.port == int(port))

    def url(self, db: int = 0) -> str:
        """Return Celery's URL. As in kombu, only the database and password of the first address are used."""
        first, *others = [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]
        identity = f":{self.servers[0].password}@" if self.servers[0].password else ""
        return ";".join([f"sentinel://{identity}{first}/{db}", *(f"sentinel://{address}" for address in others)])

    def fail_over(self) -> None:
        """Trigger a failover while the master is healthy, and wait until a replica is the master."""
        before = self.master
        self.begin_fail_over()
        eventually(lambda: self.master is not before)

    def begin_fail_over(self) -> None:
        """Trigger a failover without waiting for its end."""
        eventually(self._can_fail_over)

    def stop(self) -> None:
        """Stop the sentinels."""
        for sentinel in self.sentinels:
            sentinel.process.end()

    def _can_fail_over(self) -> bool:
        try:
            return bool(self.sentinels[0].command("FAILOVER", NAME))
        except redis.ResponseError:
            return False  # the replica is not discovered yet, or the last failover has not ended

    def _know_each_other(self) -> bool:
        for sentinel in self.sentinels:
            if len(sentinel.command("SENTINELS", NAME)) != len(self.sentinels) - 1:
                return False
            if len(sentinel.command("REPLICAS", NAME)) != len(self.servers) - 1:
                return False
        return True
