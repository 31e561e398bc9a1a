# SPDX-License-Identifier: Apache-2.0
"""A relay on loopback between the exporter and Redis that records the commands, and counts the round trips.

Input: Redis's port. Listens on another port. Never changes a byte. One thread for all connections, ended by ``close``.
"""

import selectors
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hiredis

RECEIVE_BYTES = 1 << 16


@dataclass(slots=True)
class Traffic:
    """The traffic: ``commands`` by name, and ``turns``: how often a client sent after it had received a reply."""

    commands: Counter[str] = field(default_factory=Counter)
    turns: int = 0


class _Connection:
    """One client's side: parses its commands, and records which side sent last."""

    def __init__(self) -> None:
        self.reader = hiredis.Reader(encoding="utf-8", errors="replace")
        self.answered = True


class Tap:
    """The relay; ``port`` is where clients connect."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._traffic = Traffic()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._waker, self._closer = socket.socketpair()
        self._selector.register(self._waker, selectors.EVENT_READ)
        self._peers: dict[Any, tuple[socket.socket, _Connection, bool]] = {}
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def take(self) -> Traffic:
        """Return the traffic since the last call."""
        with self._lock:
            traffic, self._traffic = self._traffic, Traffic()
        return traffic

    def close(self) -> None:
        """Stop the thread and close every connection."""
        self._closer.close()
        self._thread.join(5)
        for each in (*self._peers, self._listener, self._waker):
            each.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._waker:
                    return
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._relay(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._redis_port))
        connection = _Connection()
        self._peers[client] = (server, connection, True)
        self._peers[server] = (client, connection, False)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(each, selectors.EVENT_READ)

    def _relay(self, source: Any) -> None:  # noqa: ANN401 -- the type of a selector's keys
        target, connection, from_client = self._peers[source]
        try:
            received = source.recv(RECEIVE_BYTES)
        except ConnectionError:
            received = b""
        if not received:
            for each in (source, target):
                self._selector.unregister(each)
                del self._peers[each]
                each.close()
            return
        if from_client:
            self._note(connection, received)
        else:
            connection.answered = True
        target.sendall(received)

    def _note(self, connection: _Connection, received: bytes) -> None:
        connection.reader.feed(received)
        with self._lock:
            self._traffic.turns += connection.answered
            connection.answered = False
            while (command := connection.reader.gets()) is not False:
                words = [str(word) for word in command]
                name = " ".join(words[:2]) if words[0] in {"CLIENT", "SLOWLOG", "LATENCY", "CLUSTER"} else words[0]
                self._traffic.commands[name] += 1
