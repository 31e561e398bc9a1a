# SPDX-License-Identifier: Apache-2.0
"""The places of servers that sentinels name."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.settings import load

if TYPE_CHECKING:
    from celery_redis_exporter.daemon.monitor import Monitor

SENTINELS = ["--broker-url=sentinel://a:1;sentinel://b:2/0", "--broker-transport-options.master-name=orders"]


class Finder:
    """Sentinels that report this master, or none. Counts queries."""

    def __init__(self, master: tuple[str, int] | None) -> None:
        self.master, self.queries = master, 0

    def locate(self) -> tuple[str, int]:
        """Return the address of the master. Raises SourceError."""
        self.queries += 1
        if self.master is None:
            raise SourceError("refused", "no sentinel reports the master")
        return self.master


@pytest.mark.parametrize(
    ("master", "line"),
    [(("m", 6380), "redis-cli -h m -p 6380 PING"), (None, "redis-cli -h a -p 1 PING")],
)
def test_commands_go_to_the_master(master: tuple[str, int] | None, line: str) -> None:
    """Commands go to the master that sentinels report, else to the first sentinel; sentinels are queried once."""
    finder = Finder(master)
    monitor = SimpleNamespace(
        settings=load(SENTINELS, {}), endpoints=SimpleNamespace(finders={"broker": finder, "results": Finder(None)})
    )
    checkup = Checkup(cast("Monitor", monitor), 0.0)
    assert [line] * 2 == [checkup.place("broker").probe() for _ in range(2)]
    assert 1 == finder.queries
    assert "redis-cli -h s -p 9 PING" == checkup.place("broker/sentinel/s:9").probe()
