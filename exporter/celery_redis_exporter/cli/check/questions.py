# SPDX-License-Identifier: Apache-2.0
"""Check whether workers answer control commands, and whether every queue with messages has a consumer.

Input: a checkup and the events that it received. Output: findings. Queries workers once, as the exporter does each
minute, unless the settings disable it. It is the only part of a check that writes: the commands, and a key for the
answers that is deleted or expires.
"""

import shlex
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple

from celery_redis_exporter.catalog.queues import QUEUE_CONSUMERS, QUEUE_LENGTH
from celery_redis_exporter.cli.check import rows
from celery_redis_exporter.cli.check.checkup import Checkup
from celery_redis_exporter.cli.check.conf import conf_findings
from celery_redis_exporter.cli.check.finding import Finding, celery_setting
from celery_redis_exporter.cli.check.observations import Observations
from celery_redis_exporter.cli.check.workers import name_some, pool_findings
from celery_redis_exporter.collectors.control import ARGUMENTS, BATCH, ask, read_answer
from celery_redis_exporter.errors import DecodeError, SourceError
from celery_redis_exporter.records.inspection import Answers
from celery_redis_exporter.sources.control import Request

TOKEN, COMMANDS = "check", ("active_queues", "conf", "stats", "registered")
SETTLED_SECONDS = 2.0
"""Seconds after which the worker that took a task from its queue has reported it."""


class Asked(NamedTuple):
    """The answers of the workers by node name, and the finding if the workers could not be queried."""

    answers: Mapping[str, Answers]
    refusal: Finding | None = None


def ask_workers(checkup: Checkup, observed: Observations) -> Asked:
    """Query the workers that sent events, unless the settings disable it or the check was interrupted."""
    if not checkup.settings.celery.inspect_interval:
        return Asked(
            {},
            rows.CONTROL_OFF.found("control", "the settings disable control commands", "--celery.inspect-interval=60s"),
        )
    if not observed.workers or checkup.stop.is_set():
        return Asked({})
    try:
        return Asked(_ask_all(checkup, sorted(observed.workers)))
    except SourceError as error:
        return Asked({}, _refused(checkup, error))


def question_findings(checkup: Checkup, observed: Observations, asked: Asked) -> Iterator[Finding]:
    """Yield the findings about the answers of workers, and about the queues."""
    queues = {name: worker.queues for name, worker in observed.workers.items()}
    if asked.refusal is not None:
        yield asked.refusal
    elif observed.workers:
        queues |= {name: _queues_of(answers) for name, answers in asked.answers.items()}
        yield from _answer_findings(checkup, observed, asked.answers)
    if not checkup.stop.is_set():
        lengths, counted = _read_queues(checkup)
        yield from unreceived_findings(observed, lengths)
        yield from _separator_findings(checkup)
        yield from _queue_findings(
            checkup, queues, {queue: length for queue, length in lengths.items() if length}, counted
        )


def _answer_findings(checkup: Checkup, observed: Observations, answered: Mapping[str, Answers]) -> Iterator[Finding]:
    confs = {name: answers.conf for name, answers in answered.items() if answers.conf is not None}
    checkup.application.transport.learn(confs.values())
    yield from conf_findings(checkup.settings, confs, observed)
    pools = {name: answers.stats.pool for name, answers in answered.items() if answers.stats is not None}
    yield from pool_findings(observed, pools)
    silent = sorted(observed.workers.keys() - answered.keys())
    if silent:
        lines = celery_setting("accept_content", '["json"]'), celery_setting("worker_enable_remote_control", "True")
        yield rows.CONTROL_SILENT.found("control", f"no answer of {name_some(silent)}", *lines)
    else:
        yield rows.CONTROL_ANSWERS.found("control", f"{len(answered)} of {len(answered)} workers answer")


def unreceived_findings(observed: Observations, lengths: Mapping[str, float]) -> Iterator[Finding]:
    """Yield a finding for tasks that were taken from their queue and that no worker reported, if others were reported.

    ``lengths`` are the messages that wait, by queue. Tasks that may be among them are not reported.
    """
    missing = [task for task in observed.unreceived.values() if observed.latest - task.at >= SETTLED_SECONDS]
    by_queue = Counter(task.queue for task in missing)
    taken = {queue for queue, count in by_queue.items() if lengths.get(queue, inf) < count}
    tasks = sorted({f"{task.task} ({task.queue})" for task in missing if task.queue in taken})
    if tasks and observed.received:
        text = f"these are published, and no worker reports them: {name_some(tasks)}"
        yield rows.UNRECEIVED.found("task events", text, celery_setting("worker_send_task_events", "True"))


def _refused(checkup: Checkup, error: SourceError) -> Finding:
    place, control_client = checkup.place("broker"), checkup.broker.control_client
    if error.reason != "noperm":
        return rows.CONTROL_BROKEN.found("control", f"{error.reason}: {error}", *filter(None, [place.probe()]))
    rights = control_client.rights.partition("<user> ")[2]
    line = place.grant(rights) or control_client.rights.replace("<user>", place.user)
    return rows.CONTROL_DENIED.found("control", str(error), line)


def _ask_all(checkup: Checkup, names: Sequence[str]) -> dict[str, Answers]:
    """Return the answers by worker, without the workers that did not answer. Raises SourceError."""
    control_client, answered = checkup.broker.control_client, dict[str, Answers]()
    try:
        for first in range(0, len(names), BATCH):
            answered |= _ask(checkup, names[first : first + BATCH])
        complete = len(answered) == len(names) and all(_is_complete(answers) for answers in answered.values())
        control_client.settle(complete=complete)
    finally:
        control_client.close()
    return answered


def _ask(checkup: Checkup, names: Sequence[str]) -> dict[str, Answers]:
    celery, found = checkup.settings.celery, dict[str, Answers]()
    requests = [Request(command, names, f"{TOKEN}/{command}", ARGUMENTS.get(command, {})) for command in COMMANDS]
    for payloads in ask(checkup.broker.control_client, requests, celery.inspect_timeout, checkup.clock, checkup.stop):
        for payload in payloads:
            with suppress(DecodeError):
                reply = read_answer(payload, TOKEN, celery.inspect_max_bytes)
                found.setdefault(reply.worker, Answers()).add(reply.command, reply.answer)
        if all(name in found and _is_complete(found[name]) for name in names):
            break
    return found


def _is_complete(answers: Answers) -> bool:
    return all(getattr(answers, command) is not None for command in COMMANDS)


def _queues_of(answers: Answers) -> frozenset[str] | None:
    return None if answers.active_queues is None else frozenset(queue.name for queue in answers.active_queues)


def _queue_findings(
    checkup: Checkup,
    read: dict[str, frozenset[str] | None],
    waiting: Mapping[str, float],
    counted: set[str] | None,
) -> Iterator[Finding]:
    """Compare queues that contain messages with queues that are consumed. Without workers nothing is compared.

    ``read`` are the queues that each worker consumes, None if it did not answer. ``counted`` are the consumed queues by
    the broker's report, None if it reports none.
    """
    if not waiting or (counted is None and not read):
        return
    shown = checkup.application.queues.shown
    consumed = counted if counted is not None else {shown(queue) for queues in read.values() for queue in queues or ()}
    left = sorted(queue for queue in waiting if queue not in consumed)
    if not left:
        yield rows.CONSUMED.found("queues", f"{len(waiting)} with messages, all of them have a consumer")
    elif counted is None and None in read.values():
        secretive = sorted(name for name, queues in read.items() if queues is None)
        text = f"{name_some(left)}: perhaps consumed by {name_some(secretive)}"
        yield rows.CONSUMERS_UNKNOWN.found("queues", text, "celery --app=APP inspect active_queues")
    else:
        for queue in left:
            text = f"{waiting[queue]:g} messages wait in {queue}, and no worker consumes it"
            yield rows.UNCONSUMED.found("queues", text, f"celery --app=APP worker -E -Q {queue}")


def _separator_findings(checkup: Checkup) -> Iterator[Finding]:
    """Compare the separators of the bindings that were read with that of the settings."""
    discovery = checkup.broker.discovery
    others = sorted(discovery.other_separators) if discovery is not None else []
    if others:
        own, shown = checkup.application.transport.current.sep, ", ".join(repr(other) for other in others)
        line = f"--broker-transport-options.sep={shlex.quote(others[0])}"
        text = f"bindings are written with {shown}; sep is {own!r}"
        yield rows.OTHER_SEPARATOR.found("queues", text, *([line] if others[0].isprintable() else []))


def _read_queues(checkup: Checkup) -> tuple[dict[str, float], set[str] | None]:
    """Return how many messages each queue has, and which queues are consumed, or None if the broker reports none."""
    discovery, once = checkup.broker.discovery, threading.Event()
    try:
        if discovery is not None:
            with suppress(SourceError):  # a permission is missing; the queues of the settings are known in any case
                discovery.run(once, 1, checkup.settings.queues.discovery_max_keys, once.set)
        samples = checkup.broker_target.read(checkup.settings.scrape.deadline)
    except SourceError:  # reported before, for the server
        return {}, None
    numbers = [(s.metric, s.labels[0], s.value) for s in samples if isinstance(s.value, int | float) and s.labels]
    lengths = {queue: number for metric, queue, number in numbers if metric is QUEUE_LENGTH}
    if not checkup.broker.counts_consumers:
        return lengths, None
    return lengths, {queue for metric, queue, number in numbers if metric is QUEUE_CONSUMERS and number}
