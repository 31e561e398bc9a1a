# SPDX-License-Identifier: Apache-2.0
"""The servers that are queried for their cluster's nodes."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from celery_redis_exporter.sources.cluster import read_nodes
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.support.project_files import ROOT

NODES = b"id 10.0.0.1:7000@17000 myself,master - 0 0 1 connected\n"


class RecordedSession:
    """A connection to a server whose INFO was recorded."""

    def __init__(self, version: str, mode: str) -> None:
        text = (ROOT / "tests" / "fixtures" / "redis" / f"{version}.txt").read_text()
        self._info = text.replace("_mode:standalone", f"_mode:{mode}").replace("\n", "\r\n").encode()

    def exchange(self, commands: Sequence[Command], deadline: float) -> list[Any]:  # noqa: ARG002 -- as Session has it
        """Return the recorded replies."""
        return [self._info if command[0] == "INFO" else NODES for command in commands]


@pytest.mark.parametrize("version", ["redis-6.2", "redis-8", "valkey-7.2", "valkey-8", "valkey-9"])
@pytest.mark.parametrize(("mode", "expected"), [("cluster", NODES), ("standalone", None)])
def test_nodes_of_every_kind_of_cluster(version: str, mode: str, expected: bytes | None) -> None:
    """Redis calls its mode redis_mode, Valkey 8 and later server_mode; both are queried for nodes only in a cluster."""
    assert expected == read_nodes(cast("Session", RecordedSession(version, mode)), 1.0)
