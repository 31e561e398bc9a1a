# SPDX-License-Identifier: Apache-2.0
"""Simulate a hundred nodes of a cluster on loopback ports in one thread. They reply like Redis, except some that hang.

Input: the number of nodes, and which of them hang: these accept connections but do not reply. Output: the URL of the
first. Only the commands of an exporter receive replies.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

import hiredis

INFO = "# Server\r\nredis_version:7.0.15\r\nredis_mode:cluster\r\nrun_id:{run}\r\ntcp_port:{port}\r\n# Keyspace\r\n"


class ServerCrowd:
    """``count`` nodes. ``hanging`` contains the numbers of those that do not reply, and may change."""

    def __init__(self, count: int) -> None:
        self.hanging: set[int] = set()
        self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in range(count)]
        self._selector = selectors.DefaultSelector()
        self._readers: dict[socket.socket, tuple[int, hiredis.Reader]] = {}
        self._closing, self._closed = socket.socketpair()
        self._selector.register(self._closing, selectors.EVENT_READ)
        for listener in self._listeners:
            listener.settimeout(0)
            self._selector.register(listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def ports(self) -> list[int]:
        """Return the ports by the nodes' numbers."""
        return [int(listener.getsockname()[1]) for listener in self._listeners]

    def close(self) -> None:
        """Stop all nodes."""
        self._closed.send(b"x")
        self._thread.join(10)
        for end in (*self._listeners, *self._readers, self._closing, self._closed):
            end.close()
        self._selector.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._closing:
                    return
                if end in self._readers:
                    self._answer(end)
                else:
                    accepted, _ = end.accept()
                    self._readers[accepted] = self._listeners.index(end), hiredis.Reader()
                    self._selector.register(accepted, selectors.EVENT_READ)

    def _answer(self, end: socket.socket) -> None:
        number, reader = self._readers[end]
        data = b""
        with contextlib.suppress(OSError):
            data = end.recv(65_536)
        if not data:
            self._selector.unregister(end)
            del self._readers[end]
            end.close()
            return
        reader.feed(data)
        while (command := reader.gets()) is not False:
            if number not in self.hanging:
                with contextlib.suppress(OSError):
                    end.sendall(self._reply(number, [str(word, "utf-8") for word in command]))

    def _reply(self, number: int, words: list[str]) -> bytes:
        port = self.ports[number]
        match [word.upper() for word in words[:2]]:
            case ["INFO", *_]:
                return _bulk(INFO.format(run=f"{number:040d}", port=port))
            case ["CLUSTER", "NODES"]:
                me = {number: "myself,master"}
                lines = [f"{node:040d} 127.0.0.1:{other}@1 {me.get(node, 'master')} - 0 0 1 connected {node}\n"
                         for node, other in enumerate(self.ports)]  # fmt: skip
                return _bulk("".join(lines))
            case ["CLUSTER", "INFO"]:
                return _bulk("cluster_state:ok\r\n")
            case ["CLIENT", _]:
                return b"+OK\r\n"
        return b"-ERR unknown command\r\n"


def _bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


@contextlib.contextmanager
def server_crowd(count: int) -> Iterator[ServerCrowd]:
    """Yield the nodes until the with block ends."""
    crowd = ServerCrowd(count)
    try:
        yield crowd
    finally:
        crowd.close()
