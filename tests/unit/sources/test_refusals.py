"""What an ACL grants."""

import pytest

from exporter.sources.refusals import right
from exporter.sources.wire import Command


@pytest.mark.parametrize(
    ("command", "expected"),
    [(("LLEN", "q"), "llen"), (("SLOWLOG", "GET", 1), "slowlog|get"), (("CLIENT", "LIST", "ID", 7), "client|list"),
     (("INFO", "server", "memory"), "info")],
)  # fmt: skip
def test_right(command: Command, expected: str) -> None:
    """A right is the command, with its subcommand where Redis has one."""
    assert expected == right(command)
