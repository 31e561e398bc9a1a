# SPDX-License-Identifier: Apache-2.0
"""A server that lies: it answers whatever it is asked with the same bytes, on a free loopback port.

Takes what it says to everybody, gives its URL. Never reads what it is asked, and never ends a connection by itself.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 2**20


class LyingServer:
    """Listens; ``answer`` is what it says first, and ``forever`` what it goes on to say without end, if anything."""

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
        """Its URL, as Redis's."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def close(self) -> None:
        """End everything."""
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
        with contextlib.suppress(OSError):  # whoever is lied to hangs up
            while end.recv(65_536):
                end.sendall(self._answer)
                self.answered += 1
                while self._forever:
                    end.sendall(self._forever)


@contextlib.contextmanager
def lying_server(answer: bytes, forever: bytes = b"", port: int = 0) -> Iterator[LyingServer]:
    """Give a server for the time of a with block."""
    server = LyingServer(answer, forever, port)
    try:
        yield server
    finally:
        server.close()
