# SPDX-License-Identifier: Apache-2.0
"""The attacks: the target, the attacker, and the goals of each.

Input: seconds. Output: for each attack resident memory before, at its maximum and after, and the scraper's results.
"""

import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.attackers import NAMES, READY, WORKERS
from tests.attacks.limits import limited_memory
from tests.attacks.names import failures
from tests.attacks.target import Seen, Target
from tests.integration.conftest import Programs
from tests.integration.processes import free_port
from tests.support.waiting import eventually

SHIPPED_MIB = 256
"""The memory limit in compose, kustomize and the chart."""
MOST_MIB = SHIPPED_MIB * 8 // 10
MOST_SECONDS = 1.0
BACK = 1.2
"""Limit of the memory a minute after the attack, as a multiple of the memory before it."""
SCRAPES_BEFORE = 3
"""Number of scrapes before the first read of the memory."""


@dataclass(frozen=True, slots=True)
class Situation:
    """An attack: its description, how the exporter is secured, and how many names it has counted before.

    ``at`` is the attacked port: the exporter's, its broker's, or that of a broker which is itself the attacker. An
    attack that ``fills`` makes the exporter count more, which stays in memory afterwards.
    """

    words: str
    attacker: str
    security: str = ""
    names: int = 0
    at: str = "exporter"
    fills: bool = False


FIVE_MB = 900
"""Names whose series make a body of 5 MB."""
SITUATIONS: dict[str, Situation] = {
    "pipelining": Situation("20 connections send requests without a pause and read nothing", "pipelining"),
    "half-handshakes": Situation("2,500 connections begin a TLS handshake, again and again", "half-handshakes", "tls"),
    "half-handshakes-of-many": Situation("the same from 200 addresses", "half-handshakes-of-many", "tls"),
    "short-connections": Situation("a connection for each request, without a pause", "short-connections"),
    "slow-readers": Situation("300 clients read a body of 5 MB slowly", "slow-readers", names=FIVE_MB),
    "slow-writers": Situation("300 clients send a byte of a header each second", "slow-writers"),
    "wrong-passwords": Situation("8 clients guess passwords without a pause", "wrong-passwords", "passwords"),
    "names": Situation("20,000 names on 10,000 workers", "names", at="broker", fills=True),
    "long-names": Situation("the same with names of 432 characters", "long-names", at="broker", fills=True),
    "scrapes-at-once": Situation("8 clients scrape the largest body without a pause", "scrapes-at-once", names=NAMES),
    "slow-readers-of-the-largest": Situation("300 clients read the largest body slowly", "slow-readers", names=NAMES),
    "endless-lists": Situation("a server that claims endless lists", "endless-lists", at="liar"),
    "lists-without-an-end": Situation("a server that sends lists without an end", "lists-without-an-end", at="liar"),
    "texts-without-an-end": Situation("a server that sends texts without an end", "texts-without-an-end", at="liar"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The cost of an attack: MiB before, at most, and after (None: not measured), and the number of attacks."""

    situation: Situation
    before: int
    most: int
    after: int | None
    times: int
    seen: Seen
    limit: str
    errors: list[str]

    def wrong(self, *, timed: bool = True) -> list[str]:
        """Return the missed goals; those about seconds only if ``timed``."""
        found = list(self.errors)
        if self.most > MOST_MIB:
            found.append(f"{self.most} MiB of {MOST_MIB}")
        if self.seen.unanswered or not self.seen.seconds:
            found.append(f"{len(self.seen.unanswered)} scrapes not answered: {self.seen.unanswered[:1]}")
        if self.seen.unhealthy:
            found.append(f"{len(self.seen.unhealthy)} health requests failed: {self.seen.unhealthy[:1]}")
        if timed and not self.seen.p99 < MOST_SECONDS:
            found.append(f"p99 of {self.seen.p99:.2f} s")
        if self.after is not None and not self.situation.fills and self.after > BACK * self.before:
            found.append(f"{self.after} MiB after it, {self.before} before")
        return found


def strike(name: str, seconds: float, calm: float) -> Outcome:
    """Attack an exporter for ``seconds``, and observe it for ``calm`` more seconds (0: no observation).

    It is scraped once a second, more often during a short attack.
    """
    situation, never, pause = SITUATIONS[name], threading.Event(), min(1.0, seconds / 10)
    with limited_memory(SHIPPED_MIB) as limit, tempfile.TemporaryDirectory() as folder, ExitStack() as ending:
        programs = Programs(Path(folder), ending)
        server = programs.redis(options=("--client-output-buffer-limit", "pubsub 0 0 0"))
        broker = free_port() if situation.at == "liar" else server.port
        target = Target(programs, limit, f"redis://127.0.0.1:{broker}/0", situation.security)
        if situation.at != "liar" and not situation.security:
            eventually(target.exporter.hears)
        if situation.names:
            target.publish(server, failures(situation.names, min(situation.names, WORKERS), 10))
        with target.scraped(pause) as calm_before:
            eventually(lambda: len(calm_before.seconds) >= SCRAPES_BEFORE)
        before = target.resident
        target.forget_peak()
        port = target.exporter.port if situation.at == "exporter" else broker
        with target.scraped(pause) as seen:
            attacker = programs.run(sys.executable, "-m", "tests.attacks.attackers", situation.attacker, str(port))
            attacker.wait_for(READY)
            never.wait(seconds)
            most = target.peak
            attacker.end(20)
        after = None
        if calm:
            with target.scraped() as seen_after:
                never.wait(calm)
            after = target.resident
            most = max(most, target.peak)
            seen.unanswered += seen_after.unanswered
            seen.unhealthy += seen_after.unhealthy
        times = int(attacker.output().split()[-1]) if attacker.output().split()[-1].isdigit() else 0
        outcome = Outcome(situation, before, most, after, times, seen, limit.words, target.errors)
        target.exporter.process.end()
    return outcome
