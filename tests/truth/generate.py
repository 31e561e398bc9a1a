# SPDX-License-Identifier: Apache-2.0
"""The story of a truth run: the tasks that are sent, their order, and the ends of workers meanwhile.

Input: a seed and a number of tasks. Output: rounds, the same ones for the same input. This module does not use Celery.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

POOLS = ("prefork", "threads", "gevent", "solo")
SHARED = "shared"
"""The queue that every worker consumes; the others are named after the pool that consumes them."""
DOOMED = "doomed-"
"""The prefix of the names of workers that scenes end, and of their queues; the pool follows."""
EXPIRING = "expiring"
"""The task that is sent with ``expires``."""
QUEUES = (*POOLS, SHARED)
ROUND = 500
"""The largest number of tasks in a round."""
Revoke = Literal["", "early", "waiting", "running"]
Scene = Literal["", "kill", "shutdown"]


@dataclass(frozen=True, slots=True)
class Sending:
    """A task to send: ``revoke`` is when it is revoked, ``id`` its task id."""

    id: str
    task: str
    queue: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    revoke: Revoke = ""


@dataclass(frozen=True, slots=True)
class Round:
    """Tasks that are sent at once, and the end of a worker of a pool meanwhile.

    ``doomed`` are sent to that worker only. It is killed or shut down when ``starts`` of them have started.
    """

    sendings: tuple[Sending, ...]
    doomed: tuple[Sending, ...] = ()
    scene: Scene = ""
    pool: str = ""
    starts: int = 1


class Kind(NamedTuple):
    """A kind of task: how often it occurs, and the queues on which it may run. No queues means all."""

    weight: float
    queues: tuple[str, ...] = QUEUES


FORKED = ("prefork",)
LIMITED = ("prefork", "gevent")
KINDS: Mapping[str, Kind] = MappingProxyType({
    "plain": Kind(40), "late": Kind(6), "fail": Kind(8), "fail_late": Kind(3), "fail_unacknowledged": Kind(3),
    "ignore": Kind(2), "ignore_late": Kind(1), "reject": Kind(2), "reject_acknowledged": Kind(1),
    "requeue": Kind(2), "requeue_acknowledged": Kind(1), "replaced": Kind(3),
    "retry": Kind(5), "retry_later": Kind(4), "retry_elsewhere": Kind(4), "retried_by_itself": Kind(4),
    "given_up": Kind(3), "retry_without_cause": Kind(2), "launch": Kind(3), "chain": Kind(2), "group": Kind(1),
    "delayed": Kind(3), "expired": Kind(2), "expiring": Kind(1), "unregistered": Kind(0.5),
    "revoked_early": Kind(1), "revoked_waiting": Kind(1), "revoked_scheduled": Kind(1),
    "terminated": Kind(0.25, LIMITED), "overrun_hard": Kind(0.25, LIMITED), "overrun_soft": Kind(0.3, FORKED),
    "unlimited": Kind(0.1, ("threads", "solo")),
    "kill_child": Kind(0.25, FORKED), "kill_child_late": Kind(0.25, FORKED), "kill_child_retried": Kind(0.2, FORKED),
})  # fmt: skip
"""The kinds of tasks and their weights; at least one task of each kind is sent."""


def story(seed: int, number: int) -> Iterator[Round]:
    """Yield rounds with ``number`` tasks in all, each with a scene."""
    random = Random(seed)  # noqa: S311 -- a story, no secret
    size = min(ROUND, max(1, -(-number // 4)))
    sizes = [min(size, number - index) for index in range(0, number, size)]
    doomed = [min(length, 6 + size // 20) for length in sizes]
    scenes: list[tuple[Scene, str]] = [(scene, pool) for pool in POOLS for scene in ("kill", "shutdown")]
    kinds = choose_kinds(random, number - sum(doomed))
    place = 0
    for index, (length, ends) in enumerate(zip(sizes, doomed, strict=True)):
        scene, pool = scenes[index % len(scenes)]
        identities = [f"{seed}-{place + offset}" for offset in range(length)]
        place += length
        last = tuple(make_doomed(random, identity, pool) for identity in identities[:ends])
        made = tuple(make(random, identity, kinds.pop()) for identity in identities[ends:])
        yield Round(made, last, scene, pool, random.randint(1, 1 + ends // 2))


def choose_kinds(random: Random, number: int) -> list[str]:
    """Return a number of kinds in a random order: each kind once, and further ones by their weights."""
    kinds = list(KINDS)
    kinds += random.choices(kinds, [KINDS[kind].weight for kind in kinds], k=max(0, number - len(kinds)))
    random.shuffle(kinds)
    return kinds


def make_doomed(random: Random, identity: str, pool: str) -> Sending:
    """Make a task for the worker that a scene ends."""
    task = random.choice(("held", "late", "late", "late", "plain", "fail_late", "ignore_late", "requeue", "retry"))
    seconds = {"seconds": random.choice((0.0, 0.05, 0.2))} if task in {"late", "plain"} else {}
    return Sending(identity, task, f"{DOOMED}{pool}", kwargs=seconds)


def make(random: Random, identity: str, kind: str) -> Sending:
    """Make a task of a kind, with random arguments."""
    queue = random.choice(KINDS[kind].queues)
    maker = MAKERS.get(kind, _make_plain)
    return maker(random, Sending(identity, kind, queue))


def _make_plain(_: Random, sending: Sending) -> Sending:
    return sending


def _make_work(random: Random, sending: Sending) -> Sending:
    return replace(sending, args=(1, 2), kwargs={"seconds": random.choice((0.0, 0.0, 0.0, 0.005, 0.02))})


def _make_retry(random: Random, sending: Sending) -> Sending:
    kwargs: dict[str, Any] = {"times": random.choice((1, 1, 2, 3))}
    if sending.task == "retry_later":
        kwargs["countdown"] = round(random.uniform(0.1, 1.0), 2)
    if sending.task == "retry_elsewhere":
        kwargs["queue"] = random.choice(QUEUES)
    return replace(sending, kwargs=kwargs)


def _make_automatic(_: Random, sending: Sending) -> Sending:
    return replace(sending, kwargs={"times": 1 if sending.task == "retried_by_itself" else 9})


def _make_replaced(random: Random, sending: Sending) -> Sending:
    return replace(sending, kwargs={"queue": random.choice(("", *QUEUES))})


def _make_launch(random: Random, sending: Sending) -> Sending:
    return replace(sending, args=(random.choice(("chain", "group", "chord")), random.choice(QUEUES)))


def _make_delayed(random: Random, sending: Sending) -> Sending:
    return replace(sending, args=(1,), options={"countdown": round(random.uniform(0.1, 2.0), 2)})


def _make_expired(_: Random, sending: Sending) -> Sending:
    return replace(sending, task=EXPIRING, options={"expires": -1})


def _make_expiring(random: Random, sending: Sending) -> Sending:
    seconds = round(random.uniform(0.2, 1.0), 2)
    return replace(sending, options={"countdown": 2 * seconds, "expires": seconds})


def _make_revoked(random: Random, sending: Sending) -> Sending:
    when: Revoke = "early" if sending.task == "revoked_early" else "waiting"
    options = {"countdown": round(random.uniform(2.0, 4.0), 2)} if sending.task == "revoked_scheduled" else {}
    return replace(sending, task="revocable", args=(1,), options=options, revoke=when)


def _make_terminated(_: Random, sending: Sending) -> Sending:
    return replace(sending, revoke="running")


def _make_unlimited(random: Random, sending: Sending) -> Sending:
    return replace(sending, task=random.choice(("overrun_hard", "overrun_soft", "terminated")))


def _make_unregistered(_: Random, sending: Sending) -> Sending:
    return replace(sending, task="nowhere.registered")


MAKERS = MappingProxyType({
    "plain": _make_work, "late": _make_work, "retry": _make_retry, "retry_later": _make_retry,
    "retry_elsewhere": _make_retry, "retried_by_itself": _make_automatic, "given_up": _make_automatic,
    "replaced": _make_replaced, "launch": _make_launch, "delayed": _make_delayed, "expired": _make_expired,
    "expiring": _make_expiring, "revoked_early": _make_revoked, "revoked_waiting": _make_revoked,
    "revoked_scheduled": _make_revoked, "terminated": _make_terminated, "unlimited": _make_unlimited,
    "unregistered": _make_unregistered,
})  # fmt: skip
"""The fields that a kind sets in a sending."""
