# SPDX-License-Identifier: Apache-2.0
"""Large bodies in pieces, with slow and quick clients."""

import asyncio
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from celery_redis_exporter.web.bodies import GIVE_UP, PIECE_BYTES, PieceByPiece

BODY = b"0123456789abcdef" * PIECE_BYTES


class Client:
    """A client that reads when ``reads`` is set; ``ended`` is true once the server closed its connection."""

    def __init__(self, app: PieceByPiece, name: str) -> None:
        self.received = b""
        self.sizes: list[int] = []
        self.ended = False
        self.reads = asyncio.Event()
        scope: Scope = {"type": "http", "path": name, GIVE_UP: self._end}
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    def _end(self) -> None:
        self.ended = True
        self.reads.set()

    async def _receive(self) -> Message:
        return {"type": "http.request"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            return
        await self.reads.wait()
        if not self.ended:  # a server drops data after the connection was closed
            self.received += message["body"]
            self.sizes.append(len(message["body"]))


def answering(bodies: Callable[[str], bytes]) -> PieceByPiece:
    """Return an application that answers with the body of a path, and has memory for two and a half bodies."""

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bodies(scope["path"])})

    return PieceByPiece(app, len(BODY) * 5 // 2)


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_large_body_comes_in_pieces() -> None:
    """A client gets the whole body, at most one piece at a time; a small body comes at once."""

    async def story() -> None:
        app = answering(lambda path: BODY + b"end" if path == "large" else b"small")
        large, small = Client(app, "large"), Client(app, "small")
        for client in (large, small):
            client.reads.set()
            await client.task
        assert BODY + b"end" == large.received
        assert max(large.sizes) == PIECE_BYTES
        assert [5] == small.sizes

    asyncio.run(story())


def test_the_oldest_body_is_given_up_for_a_new_one() -> None:
    """The oldest of three unread bodies is dropped with all its clients; the others arrive."""

    async def story() -> None:
        made = {name: bytes(BODY) + name.encode() for name in ("a", "b", "c")}
        app = answering(made.__getitem__)
        first = [Client(app, "a") for _ in range(20)]  # one body, counted once
        await settle()
        second = Client(app, "b")
        await settle()
        assert not any(client.ended for client in (*first, second))
        third = Client(app, "c")
        await settle()
        assert all(client.ended for client in first)
        assert not second.ended
        for client in (second, third):
            client.reads.set()
            await client.task
        assert (made["b"], made["c"]) == (second.received, third.received)
        await asyncio.gather(*(client.task for client in first))
        later = Client(app, "a")
        later.reads.set()
        await later.task
        assert made["a"] == later.received

    asyncio.run(story())


def test_a_body_beyond_the_bound_is_sent_alone() -> None:
    """A body that is larger than the limit is sent, and all others are dropped."""

    async def story() -> None:
        app = answering(lambda path: BODY * 3 if path == "huge" else BODY + path.encode())
        other = Client(app, "other")
        await settle()
        huge = Client(app, "huge")
        huge.reads.set()
        await huge.task
        assert other.ended
        assert BODY * 3 == huge.received

    asyncio.run(story())
