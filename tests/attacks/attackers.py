# SPDX-License-Identifier: Apache-2.0
"""The attackers, each in a separate process: ``python -m tests.attacks.attackers NAME PORT``.

Input: the port of an exporter, or of its broker. An attacker runs until SIGTERM, as fast as it can unless it is slow
on purpose, and then prints the number of its attacks. Its address differs from the scraper's.
"""

import contextlib
import http.client
import resource
import select
import signal
import socket
import sys
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import partial
from types import MappingProxyType

import redis

from celery_redis_exporter.clock import SystemClock
from tests.attacks.names import CHANNEL, failures, messages
from tests.integration.lying_server import lying_server

READY = "attacking"
"""Line that an attacker prints when it starts."""
ADDRESS = "127.0.0.2"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The first eleven bytes of a TLS handshake."""
FLOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * (512 * 1024 // 27)
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"a" * 10_000
SLOW_CLIENTS, PIPELINES, MOST_HALVES, GUESSERS, SCRAPERS = 300, 20, 2_500, 8, 8
SLOW_SECONDS = 1.0
SLOW_BYTES = 1_000
MANY = 200
"""Addresses of an attacker that has many."""
EVENTS_PER_SECOND = 5_000
NAMES, WORKERS = 20_000, 10_000
LIES: MappingProxyType[str, tuple[bytes, bytes]] = MappingProxyType({
    "endless lists": (b"*2999999999\r\n", b""),
    "lists without an end": (b"*50000000\r\n", b"*0\r\n"),
    "texts without an end": (b"$2999999999\r\n", b"x"),
})  # fmt: skip


class Attack:
    """Input of an attacker: the port, and an event that ends it. ``times`` counts its attacks."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.over = threading.Event()
        self.times = 0
        self._sources = 0

    def connect(self, *, sources: int = 1) -> socket.socket:
        """Open a connection from one of ``sources`` addresses, since the ports of one address are limited."""
        self._sources += 1
        host, _, last = ADDRESS.rpartition(".")
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(5)
        try:
            client.bind((f"{host}.{int(last) + self._sources % sources}", 0))
            client.connect(("127.0.0.1", self.port))
        except OSError:
            client.close()
            raise
        self.times += 1
        return client

    def keep(self, count: int, act: Callable[[socket.socket], None], pause: float) -> None:
        """Keep ``count`` connections open, and call ``act`` for each in every round; rounds have a pause in between."""
        clients: list[socket.socket | None] = [None] * count
        while not self.over.is_set():
            for number, client in enumerate(clients):
                try:
                    if client is None:
                        client = clients[number] = self.connect()  # noqa: PLW2901 -- the free place is filled
                    act(client)
                except BlockingIOError:
                    continue
                except OSError:
                    if client is not None:
                        client.close()
                    clients[number] = None
            self.over.wait(pause)


def pipelining(attack: Attack) -> None:
    """Send requests without a pause on a few connections, and read nothing."""
    rests: dict[int, memoryview] = {}

    def send(client: socket.socket) -> None:
        client.setblocking(False)  # noqa: FBT003 -- as in C
        rest = rests.pop(client.fileno(), None) or memoryview(FLOOD)
        rests[client.fileno()] = rest[client.send(rest) :]
        attack.times += 1

    attack.keep(PIPELINES, send, 0.001)


def half_handshakes(attack: Attack, sources: int = 1) -> None:
    """Start TLS handshakes and abandon them."""
    halves: deque[socket.socket] = deque()
    while not attack.over.is_set():
        with contextlib.suppress(OSError):
            halves.append(attack.connect(sources=sources))
            halves[-1].sendall(HELLO)
        if len(halves) > MOST_HALVES:
            halves.popleft().close()


def short_connections(attack: Attack) -> None:
    """Open a connection for each request."""
    while not attack.over.is_set():
        with contextlib.suppress(OSError), attack.connect(sources=50) as client:
            client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
            client.recv(4096)


def slow_readers(attack: Attack) -> None:
    """Request the metrics on many connections, and read a kilobyte a second."""
    asked: set[socket.socket] = set()

    def read(client: socket.socket) -> None:
        if client not in asked:
            asked.add(client)
            client.sendall(SCRAPE)
            client.setblocking(False)  # noqa: FBT003 -- as in C
        elif not client.recv(SLOW_BYTES):
            raise ConnectionError

    attack.keep(SLOW_CLIENTS, read, SLOW_SECONDS)


def slow_writers(attack: Attack) -> None:
    """Send a header byte a second on many connections."""
    sent: dict[socket.socket, int] = {}

    def write(client: socket.socket) -> None:
        at = sent.get(client, 0)
        client.sendall(HEAD[at : at + 1])
        sent[client] = at + 1
        if select.select([client], [], [], 0)[0] and not client.recv(4096):
            raise ConnectionError

    attack.keep(SLOW_CLIENTS, write, SLOW_SECONDS)


def wrong_passwords(attack: Attack) -> None:
    """Guess passwords on several connections."""
    _in_threads(GUESSERS, partial(_guess, attack))


def scrapes_at_once(attack: Attack) -> None:
    """Scrape on several connections without a pause."""
    _in_threads(SCRAPERS, partial(_scrape, attack))


def names(attack: Attack, length: int = 10) -> None:
    """Publish events with 20,000 names on 10,000 workers repeatedly; the port is the broker's."""
    clock = SystemClock()
    with closing(redis.Redis(port=attack.port, protocol=2)) as client:
        began = clock.monotonic()
        while True:
            for message, count in messages(failures(NAMES, WORKERS, length)):
                if attack.over.wait(max(0.0, began + attack.times / EVENTS_PER_SECOND - clock.monotonic())):
                    return
                client.publish(CHANNEL, message)
                attack.times += count


def lie(attack: Attack, name: str) -> None:
    """Reply to each command of the exporter with a malicious reply, and print the port."""
    answer, forever = LIES[name]
    with lying_server(answer, forever, attack.port) as server:
        attack.over.wait()
        attack.times = server.answered


ATTACKERS: MappingProxyType[str, Callable[[Attack], None]] = MappingProxyType({
    "pipelining": pipelining,
    "half-handshakes": half_handshakes,
    "half-handshakes-of-many": partial(half_handshakes, sources=MANY),
    "short-connections": short_connections,
    "slow-readers": slow_readers,
    "slow-writers": slow_writers,
    "wrong-passwords": wrong_passwords,
    "scrapes-at-once": scrapes_at_once,
    "names": names,
    "long-names": partial(names, length=432),
    "endless-lists": partial(lie, name="endless lists"),
    "lists-without-an-end": partial(lie, name="lists without an end"),
    "texts-without-an-end": partial(lie, name="texts without an end"),
})  # fmt: skip


def _guess(attack: Attack, number: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", attack.port, 20, source_address=(ADDRESS, 0))) as connection:
        guessed = 0
        while not attack.over.is_set():
            guessed += 1
            credentials = b64encode(f"prometheus:{number} {guessed}".encode()).decode()
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/metrics", headers={"Authorization": f"Basic {credentials}"})
                connection.getresponse().read()
                attack.times += 1
                continue
            connection.close()


def _scrape(attack: Attack, _number: int) -> None:
    while not attack.over.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", attack.port, timeout=20, source_address=(ADDRESS, 0))
        with contextlib.suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            attack.times += 1


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main(name: str, port: int) -> None:
    """Attack until SIGTERM."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack = Attack(port)
    signal.signal(signal.SIGTERM, lambda *_: attack.over.set())
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    ATTACKERS[name](attack)
    sys.stdout.write(f"{attack.times}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
