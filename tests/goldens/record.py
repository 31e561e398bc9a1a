# SPDX-License-Identifier: Apache-2.0
"""Record the replies of two real servers: a broker with Celery's queues and a result backend.

Fills both with fixed data, then lets the exporter of ``exposition`` read them through a ``ReplayServer`` that records
every reply. Paths and names of the machine are replaced.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.goldens.captures import write_replies
from tests.goldens.exposition import OPENMETRICS, Story
from tests.goldens.replay_server import Replies, replaying
from tests.integration.redis_servers import RedisServer

MESSAGE = Path(__file__).parents[1] / "fixtures" / "events" / "celery-5.7" / "queue-message.json"
SEPARATOR = "\x06\x16"


def record() -> None:
    """Start both servers, read them once as in a story, and write ``replies.json``."""
    with tempfile.TemporaryDirectory() as folder:
        servers = [RedisServer(Path(folder) / name) for name in ("broker", "results")]
        try:
            _fill(*servers)
            recorded: dict[str, Replies] = {"broker": {}, "results": {}}
            broker, results = (server.port for server in servers)
            with replaying(recorded["broker"], broker) as first, replaying(recorded["results"], results) as second:
                story = Story(first, second)
                try:
                    story.run()
                    story.metrics(OPENMETRICS)
                    story.clock.advance(60)
                    story.metrics(OPENMETRICS)
                    story.status()
                finally:
                    story.close()
        finally:
            for server in servers:
                server.stop()
    write_replies({name: _neutral(replies, folder) for name, replies in recorded.items()})


def _fill(broker: RedisServer, results: RedisServer) -> None:
    tree = json.loads(MESSAGE.read_text(encoding="utf-8"))
    message = tree["raw_payload"] if "raw_payload" in tree else json.dumps(tree)
    with broker.client() as client:
        for queue, number in (("celery", 3), ("mail", 2), (f"mail{SEPARATOR}3", 4)):
            client.lpush(queue, *[message] * number)
        for queue in ("celery", "mail"):
            client.sadd(f"_kombu.binding.{queue}", f"{queue}{SEPARATOR}{SEPARATOR}{queue}")
        client.hset("unacked", mapping={f"tag{number}": "[]" for number in range(5)})
        client.zadd("unacked_index", {f"tag{number}": 1_795_310_000.0 + 2_000 * number for number in range(5)})
    with results.client(1) as client:
        for number in range(20):
            client.set(f"celery-task-meta-{number:08d}", "x" * 100, ex=86_400 if number % 2 else None)


def _neutral(replies: Replies, folder: str) -> Replies:
    """Replace names and paths of the machine."""
    changed: dict[str, Any] = {}
    for command, reply in replies.items():
        text = reply.replace(folder.encode(), b"/" + b"f" * (len(folder) - 1))
        text = re.sub(rb"(?m)^(os|executable|config_file|process_id|tcp_port):[^\r\n]*", _same_length, text)
        changed[command] = text
    return changed


def _same_length(match: re.Match[bytes]) -> bytes:
    """Keep the length that the reply's header states."""
    name, _, value = match[0].partition(b":")
    filler = {b"process_id": b"1", b"tcp_port": b"6"}.get(name, b"x")
    return name + b":" + filler * len(value)
