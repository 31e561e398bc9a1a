"""One Redis server read in one round trip: INFO and whatever else its caller asks for.

Sends CLIENT SETNAME and INFO server once per connection (Redis 7 takes several sections of INFO, older servers
take one), then per read one pipeline: INFO, SLOWLOG LEN, SLOWLOG GET 1, LATENCY LATEST, and the caller's commands.
Lives in its caller's thread. A failure raises SourceError: the server is down for that scrape, and shown so.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from exporter.sources.refusals import Refusal
from exporter.sources.session import Session
from exporter.sources.wire import CLIENT_NAME, Command

SECTIONS = (
    "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "cluster", "keyspace",
    "commandstats", "errorstats",
)  # fmt: skip
SERVER_COMMANDS: tuple[Command, ...] = (("SLOWLOG", "LEN"), ("SLOWLOG", "GET", 1), ("LATENCY", "LATEST"))
CLUSTER_COMMAND: Command = ("CLUSTER", "INFO")
INFO_WITH_SECTIONS = 7
"""The first major version of Redis whose INFO takes several sections."""


class ServerReading(NamedTuple):
    """Replies of one read; each may be a Refusal. ``cluster`` is None outside cluster mode."""

    info: bytes
    slowlog_length: Any
    slowlog_newest: Any
    latency_latest: Any
    cluster: Any
    others: list[Any]


class RedisServer:
    """Reads one server; ``name`` is its label."""

    def __init__(self, name: str, session: Session) -> None:
        self.name = name
        self.session = session
        self._known = 0
        self._info: Command = ("INFO", "ALL")
        self._cluster = False

    def read(self, commands: Sequence[Command], deadline: float) -> ServerReading:
        """Give the server's replies, those to ``commands`` last, within ``deadline`` seconds; raise SourceError."""
        if self._known == 0 or self._known != self.session.opened:
            self._learn(deadline)
        return self._reading(self.session.exchange(self._asked(commands), deadline))

    def begin(self, commands: Sequence[Command], deadline: float) -> bool:
        """Begin such a read without waiting; False, with nothing sent, if that can't be; raise SourceError."""
        known = self._known != 0 and self._known == self.session.opened
        return known and self.session.begin(self._asked(commands), deadline)

    def gather(self, patience: float) -> bool:
        """Wait at most ``patience`` seconds for the replies; tell whether ``end`` will not have to."""
        return self.session.gather(patience)

    def end(self) -> ServerReading:
        """Give the replies to what was begun; raise SourceError."""
        return self._reading(self.session.end())

    def close(self) -> None:
        """Close the connection; safe from any thread."""
        self.session.close()
        self._known = 0

    def _asked(self, commands: Sequence[Command]) -> list[Command]:
        return [self._info, *SERVER_COMMANDS, *([CLUSTER_COMMAND] if self._cluster else []), *commands]

    def _reading(self, replies: list[Any]) -> ServerReading:
        info, length, newest, latency, *others = replies
        cluster = others.pop(0) if self._cluster else None
        if self.session.opened != self._known:  # reconnected in between: perhaps to another version
            self._known = 0
        _check(info)
        return ServerReading(info, length, newest, latency, cluster, others)

    def _learn(self, deadline: float) -> None:
        _, info = self.session.exchange([("CLIENT", "SETNAME", CLIENT_NAME), ("INFO", "server")], deadline)
        _check(info)
        major = info.partition(b"redis_version:")[2].partition(b".")[0]
        modern = major.isdigit() and int(major) >= INFO_WITH_SECTIONS
        self._info = ("INFO", *SECTIONS) if modern else ("INFO", "ALL")
        self._cluster = b"redis_mode:cluster" in info
        self.session.talks_to(info.partition(b"\r\nrun_id:")[2].partition(b"\r")[0].decode("ascii", "replace"))
        self._known = self.session.opened


def _check(info: Any) -> None:  # noqa: ANN401 -- a reply can be anything
    """Without INFO nothing is known of the server: raise SourceError."""
    if isinstance(info, Refusal):
        raise info.as_error("INFO")
