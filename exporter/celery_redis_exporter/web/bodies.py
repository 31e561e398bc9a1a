# SPDX-License-Identifier: Apache-2.0
"""Send large bodies in pieces, and limit the memory that they take.

Input: an application. Output: an application whose responses wait for their client to read: the buffer of each
connection contains one piece only. A client that reads slowly keeps its body in memory. When new bodies need that
memory, the responses with the oldest bodies are ended, so that slow clients can't keep others from being answered.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PIECE_BYTES = 32 * 1024
GIVE_UP = "celery_redis_exporter.give_up"
"""The key of ``scope`` under which the server stores the function that ends a connection at once."""


class PieceByPiece:
    """Sends large bodies of an application in pieces; in one event loop.

    Different bodies that are being sent may have ``most`` bytes together. One that is larger is sent while no other is.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._bodies: dict[int, tuple[int, list[Callable[[], None]]]] = {}  # by identity: size, callbacks that end it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_in_pieces(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= PIECE_BYTES:
                await send(message)
                return
            with self._room_for(body, scope.get(GIVE_UP)) as is_given_up:
                pieces = memoryview(body)
                for start in range(0, len(body), PIECE_BYTES):
                    piece = bytes(pieces[start : start + PIECE_BYTES])
                    await send({**message, "body": piece, "more_body": start + PIECE_BYTES < len(body)})
                    if is_given_up():
                        await asyncio.sleep(0)  # lets the server notice that the connection ended
                        return

        await self._app(scope, receive, send_in_pieces)

    @contextmanager
    def _room_for(self, body: bytes, give_up: Callable[[], None] | None) -> Iterator[Callable[[], bool]]:
        """Count a body once for all responses that send it, and end older ones if there is too little memory.

        Yield a function that returns whether the body was given up in the meantime.
        """
        key, end = id(body), give_up or (lambda: None)
        entry = self._bodies.setdefault(key, (len(body), []))
        entry[1].append(end)
        self._shed(key)
        try:
            yield lambda: self._bodies.get(key) is not entry
        finally:
            entry[1].remove(end)
            if not entry[1] and self._bodies.get(key) is entry:
                del self._bodies[key]

    def _shed(self, newest: int) -> None:
        total = sum(size for size, _ in self._bodies.values())
        for key, (size, ends) in list(self._bodies.items()):
            if total <= self._most or key == newest:
                return
            total -= size
            del self._bodies[key]
            for end in list(ends):
                end()
