# SPDX-License-Identifier: Apache-2.0
"""Simulate a faulty network between the exporter and its server: a TCP proxy on a loopback port.

Input: the server's port. Output: the proxy's port. Data is forwarded unchanged, late, not at all, or up to a byte after
which the connection is reset. No data is kept.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

CHUNK = 65_536
PAUSE = 0.0001
"""Seconds between segments."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of zero: close() resets the connection."""


class FaultyNetwork:
    """The connection to the server at ``target``. The faults are attributes that can be set at any time.

    ``delay`` is in seconds, for each direction. With ``hole`` all data is dropped, but connecting still works.
    ``segment`` is the number of bytes that arrive together, as on a network of small packets, or 0 for no limit.
    ``rewrites`` replace words of the server's replies. Each must keep the length of the whole reply.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.hole = False
        self.segment = 0
        self.rewrites: dict[bytes, bytes] = {}
        self._target = target
        self._cut: tuple[bytes, int] | None = None
        self._never = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    def cut(self, marker: bytes, after: int) -> None:
        """Reset the connection on which the server sends ``marker``, this many bytes after it."""
        self._cut = (marker, after)

    def reset(self) -> None:
        """Reset every open connection."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def close(self) -> None:
        """Close everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._never.set()
        self.reset()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pairs.append((client, server))
                self._start(lambda client=client, server=server: self._pass_on(client, server, counted=False))
                self._start(lambda client=client, server=server: self._pass_on(server, client, counted=True))

    def _pass_on(self, source: socket.socket, sink: socket.socket, *, counted: bool) -> None:
        with contextlib.suppress(OSError):  # either end may be closed
            while data := source.recv(CHUNK):
                if self.delay:
                    self._never.wait(self.delay)
                if self.hole:
                    continue
                if counted:
                    data = self._rewritten(data)
                if counted and self._cut is not None and self._cut[0] in data:
                    marker, after = self._cut
                    self._cut = None
                    sink.sendall(data[: data.index(marker) + after])
                    _reset(sink)
                    _reset(source)
                    return
                step = self.segment or len(data)
                for start in range(0, len(data), step):
                    sink.sendall(data[start : start + step])
                    if self.segment:
                        self._never.wait(PAUSE)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _rewritten(self, data: bytes) -> bytes:
        for words, others in self.rewrites.items():
            data = data.replace(words, others)
        return data

    def _start(self, work: object) -> None:
        thread = threading.Thread(target=work, daemon=True)  # type: ignore[arg-type]  # a callable
        self._threads.append(thread)
        thread.start()


@contextlib.contextmanager
def faulty_network(target: int) -> Iterator[FaultyNetwork]:
    """Yield a network to the server at a port until the with block ends."""
    network = FaultyNetwork(target)
    try:
        yield network
    finally:
        network.close()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
