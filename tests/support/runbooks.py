# SPDX-License-Identifier: Apache-2.0
"""Read the commands of alerts/runbooks.md: those in the text, which only read, and those that change something.

Input: the page. Output: commands by the alert whose section contains them, and why no test runs some of them.
"""

import re
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).parents[2] / "alerts" / "runbooks.md"
MARK = "**Changes something.**"
OURS = {"redis-cli", "celery", "celery-redis-exporter", "curl", "timeout", "grep", "ss", "vmstat", "df"}
"""Programs that a test runs."""
SYSTEMD, MACHINE = "needs a systemd that runs", "is about the machine, and needs permissions there"
NOT_RUN = {
    "kubectl": "needs a cluster",
    "systemctl": SYSTEMD,
    "journalctl": SYSTEMD,
    "timedatectl": SYSTEMD,
    "dmesg": MACHINE,
    "sysctl": MACHINE,
    "rabbitmqctl": "needs a RabbitMQ of the system's user",
    "py-spy": "no package of Debian's",
}
"""The reason why no test runs the commands of a program."""
CHANGING = re.compile(
    r"\b(control|purge|call|CONFIG SET|CONFIG REWRITE|MEMORY PURGE|BGSAVE|FAILOVER|RESET|EXPIRE|DEL|sysctl)\b"
    r"|--cluster fix|^celery\b.* worker\b"
)
BARE = re.compile(
    r"(CONFIG|MEMORY|SENTINEL|INFO|TTL|EXPIRE|SLOWLOG|BGSAVE|CLIENT|CLUSTER|LRANGE|GET|inspect|control)\b "
)
"""A command of Redis or Celery without its program."""


class Section(NamedTuple):
    """The content of an alert's section: code in its text, the commands of its last block, and other blocks."""

    alert: str
    spans: tuple[str, ...]
    changing: tuple[str, ...]
    other_blocks: int

    @property
    def reading(self) -> list[str]:
        """Return the commands in the text."""
        return [span for span in self.spans if program(span) in OURS | set(NOT_RUN)]


def program(command: str) -> str:
    """Return the program that a command starts."""
    return command.split(maxsplit=1)[0]


def sections() -> list[Section]:
    """Return the sections in the order of the page."""
    found = []
    page = PAGE.read_text(encoding="utf-8")
    for alert, text in re.findall(r"^## (\w+)\n(.*?)(?=^##? |\Z)", page, re.MULTILINE | re.DOTALL):
        prose, _, last = text.partition(f"\n{MARK}\n")
        block = re.fullmatch(r"\n```sh\n(.*)\n```\s*", last, re.DOTALL)
        spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
        changing = [line.partition("  #")[0].strip() for line in (block[1].splitlines() if block else [])]
        other_blocks = text.count("```sh") - bool(block)
        found.append(Section(alert, tuple(filter(None, spans)), tuple(changing), other_blocks))
    return found
