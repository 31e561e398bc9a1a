# SPDX-License-Identifier: Apache-2.0
"""A server that answers each command with the recorded reply of a real Redis.

Input: recorded replies by command, and while recording the port of a real server. Output: a URL on a free loopback
port, and the replies that were added. A command without a recorded reply gets an error that names it, so that a
golden shows it.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import hiredis

Replies = dict[str, bytes]
"""Replies in the bytes of the protocol, by command: its words, joined by a space."""
CHUNK = 65_536


class ReplayServer:
    """A server that answers from ``replies``; with ``upstream`` it sends each command there and records the reply."""

    def __init__(self, replies: Replies, upstream: int | None = None) -> None:
        self.replies = replies
        self._upstream = upstream
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Close every connection and end every thread."""
        for connection in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        reader = hiredis.Reader()
        with contextlib.ExitStack() as ending:
            ending.enter_context(contextlib.suppress(OSError))
            real = None
            if self._upstream is not None:
                real = ending.enter_context(socket.create_connection(("127.0.0.1", self._upstream)))
            while data := connection.recv(CHUNK):
                reader.feed(data)
                while (words := reader.gets()) is not False:
                    connection.sendall(self._reply(words, real))

    def _reply(self, words: list[bytes], real: socket.socket | None) -> bytes:
        command = " ".join(word.decode("utf-8", "backslashreplace") for word in words)
        if real is not None:
            self.replies[command] = _ask(real, words)
        return self.replies.get(command, f"-ERR not recorded: {command}\r\n".encode())


def _ask(real: socket.socket, words: list[bytes]) -> bytes:
    """Send one command, and return the bytes of its reply."""
    real.sendall(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]  # its stub takes 1-tuples only
    reader, received = hiredis.Reader(), b""
    reply: Any = False
    while reply is False:
        data = real.recv(CHUNK)
        received += data
        reader.feed(data)
        reply = reader.gets()
    return received


@contextlib.contextmanager
def replaying(replies: Replies, upstream: int | None = None) -> Iterator[ReplayServer]:
    """Serve replies during a with block."""
    server = ReplayServer(replies, upstream)
    try:
        yield server
    finally:
        server.close()
