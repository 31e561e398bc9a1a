# SPDX-License-Identifier: Apache-2.0
"""Programs under test that start but can't be used by the test."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.integration.exporters import Exporter
from tests.integration.processes import free_port
from tests.integration.redis_servers import RedisServer

pytestmark = pytest.mark.servers

STARTS: dict[str, Callable[[Path], object]] = {
    "an exporter without a port": lambda folder: Exporter(
        folder / "log", f"--broker-url=redis://127.0.0.1:{free_port()}/0", f"--web.listen-address=unix:{folder / 's'}"
    ),
    "a server that refuses a command": lambda folder: RedisServer(folder, options=("--rename-command", "PING", "")),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_a_start_that_fails_leaves_no_process(tmp_path: Path, start: Callable[[Path], object]) -> None:
    """If the constructor raises after the start, the program is stopped."""
    before = set(psutil.Process().children())
    with pytest.raises(Exception, match=r"unknown command|invalid literal"):
        start(tmp_path)
    assert set() == {child for child in psutil.Process().children() if child.is_running()} - before
