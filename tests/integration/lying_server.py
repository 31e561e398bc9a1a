# SPDX-License-Identifier: Apache-2.0
"""Run a server that sends the same bytes in reply to any request, on a free loopback port.

Input: the bytes. Output: its URL. The server never parses requests, and never closes a connection by itself.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 2**20


class LyingServer:
    """A server that sends ``answer`` first, and then ``forever`` without end if it is not empty."""

    def __init__(self, answer: bytes, forever: bytes = b"", port: int = 0) -> None:
        self.answered = 0
        self._answer = answer
        self._forever = forever * (CHUNK // len(forever)) if forever else b""
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Return its URL, as a URL of Redis."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        """Close everything."""
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                end, _ = self._listener.accept()
                self._ends.append(end)
                thread = threading.Thread(target=self._lie, args=(end,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _lie(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client closes the connection
            while end.recv(65_536):
                end.sendall(self._answer)
                self.answered += 1
                while self._forever:
                    end.sendall(self._forever)


@contextlib.contextmanager
def lying_server(answer: bytes, forever: bytes = b"", port: int = 0) -> Iterator[LyingServer]:
    """Yield a server until the with block ends."""
    server = LyingServer(answer, forever, port)
    try:
        yield server
    finally:
        server.close()
