"""``check``: says line by line whether the exporter would see what it should, and what to change.

Takes settings, prints one line per finding, gives exit code 1 if one of them is a failure. Sends what the exporter
sends, and nothing that writes; listens to events for a few seconds.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporter import logs
from exporter.app import App
from exporter.catalog.queues import QUEUE_LENGTH
from exporter.clock import Clock, SystemClock
from exporter.decode.redis_server import parse_info
from exporter.errors import DecodeError, SourceError
from exporter.records import Part, TaskReceived, TaskSent, TaskStarted, WorkerHeartbeat, WorkerOnline
from exporter.redis_broker import RedisBroker
from exporter.redis_scrape import ServerScrape
from exporter.settings import KombuTarget, RedisTarget, Settings
from exporter.sources.queues import QueueKeys
from exporter.sources.refusals import Refusal
from exporter.sources.wire import Command
from exporter.web.security import open_tls

LISTEN_SECONDS = 6.0
"""Long enough for three heartbeats at Celery's default interval."""


class Finding(NamedTuple):
    """One line: ``level`` is ok, note, warn or fail; ``cure`` is what to change, empty if nothing."""

    level: str
    subject: str
    text: str
    cure: str = ""

    def __str__(self) -> str:
        cure = f"\n{'':26}-> {self.cure}" if self.cure else ""
        return f"{self.level.upper():<5} {self.subject:<19} {self.text}{cure}"


@dataclass(slots=True)
class Heard:
    """What the event stream brought while listening."""

    messages: int = 0
    undecodable: int = 0
    workers: set[str] = field(default_factory=set)
    sent: int = 0
    started: int = 0
    received: int = 0
    processed: dict[str, tuple[int, int]] = field(default_factory=dict)

    def fold(self, event: Part) -> None:
        """Take note of an event."""
        match event:
            case TaskSent():
                self.sent += 1
            case TaskStarted():
                self.started += 1
            case TaskReceived():
                self.received += 1
            case WorkerHeartbeat() | WorkerOnline():
                self.workers.add(event.hostname)
                if event.processed is not None:
                    first, _ = self.processed.get(event.hostname, (event.processed, 0))
                    self.processed[event.hostname] = (first, event.processed)

    @property
    def worked(self) -> bool:
        """Whether some worker began executions while we listened."""
        return any(last > first for first, last in self.processed.values())


def run(settings: Settings) -> int:
    """Print the findings; give 0, or 1 if something failed."""
    logs.configure("error", settings.log.format, secrets=lambda: settings.secrets)
    failed = False
    for finding in findings(settings, SystemClock()):
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
        failed = failed or finding.level == "fail"
    return 1 if failed else 0


def findings(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Give the findings, in the order in which the data flows; raise ConfigError where the daemon would."""
    open_tls(settings.web_config, clock)
    yield Finding("ok", "settings", "parsed")
    for note in settings.notes:
        yield Finding("note", "settings", note)
    app = App(settings, clock)
    if isinstance(settings.broker, KombuTarget):
        yield _broker_finding(app, settings.broker)
    for target in app.scrape.targets:
        if isinstance(target, ServerScrape):
            yield from _server_findings(app, target)
    yield from _event_findings(app)


def _broker_finding(app: App, target: KombuTarget) -> Finding:
    try:
        samples = app.broker.scrape.run(app.settings.scrape.deadline)
    except SourceError as error:
        return Finding("fail", "broker", f"{target.redacted}: {error.reason}: {error}", _cure(error.reason))
    finally:
        app.broker.scrape.close()
    found = sum(sample.metric is QUEUE_LENGTH for sample in samples)
    named = len(app.settings.queues.names)
    queues = f"; {found} of {named} queues of the settings are there" if named else ""
    return Finding("ok", "broker", f"{target.redacted} answers{queues}")


def _server_findings(app: App, scrape: ServerScrape) -> Iterator[Finding]:
    targets = {target.name: target for target in app.settings.redis_targets}
    subject, target = f"redis {scrape.name}", targets.get(scrape.name)
    shown = target.redacted if target else scrape.name
    session, deadline = scrape.server.session, app.settings.scrape.deadline
    try:
        scrape.run(deadline)  # a sentinel tells its masters' names first
        scrape.run(deadline)
        replies = session.ask([("INFO",), *_commands(app, target)], deadline)
    except SourceError as error:
        yield Finding("fail", subject, f"{shown}: {error.reason}: {error}", _cure(error.reason))
        return
    finally:
        scrape.close()
    info, *others = replies
    trouble = next((reply for reply in replies if isinstance(reply, Refusal) and reply.is_of_server), None)
    if trouble is not None:
        yield Finding("fail", subject, f"{shown}: {trouble.reason}: {trouble}", _cure(trouble.reason))
    elif isinstance(info, Refusal):
        yield Finding("fail", subject, f"{shown}: INFO is refused", "ACL SETUSER <user> +info")
    else:
        yield from _info_findings(subject, scrape.name, shown, parse_info(info))
    yield from _right_findings(subject, session.refused, [reply for reply in others if isinstance(reply, Refusal)])


def _right_findings(subject: str, lacking: Sequence[str], refusals: Sequence[Refusal]) -> Iterator[Finding]:
    if lacking:
        yield Finding(
            "warn", subject, f"the server refuses, and these metrics stay empty: {', '.join(lacking)}",
            f"ACL SETUSER <user> {' '.join(f'+{name}' for name in lacking)} %R~*",
        )  # fmt: skip
    else:
        yield Finding("ok", subject, "all commands of a scrape and of the background are allowed")
    for reply in refusals:
        if not reply.lasts and not reply.is_of_server:
            yield Finding("warn", subject, str(reply))


def _commands(app: App, target: RedisTarget | None) -> list[Command]:
    """What else is sent to this server, in the background."""
    if target is None:  # a sentinel
        return []
    queue, keys = next(iter(app.settings.queues.names), "celery"), QueueKeys()
    commands: list[Command] = [("SCAN", 0, "COUNT", 1)]
    if isinstance(app.broker, RedisBroker) and target.name == "broker":
        keys = app.broker.keys
        commands += [*keys.length_commands(queue)[:1], *keys.oldest_commands(queue, (0,))]
        commands += [("CLIENT", "ID"), ("CLIENT", "LIST", "ID", 1), ("SMEMBERS", keys.binding_of(queue))]
    if app.settings.redis.key_space.interval:
        commands += [("MEMORY", "USAGE", keys.binding_of(queue), "SAMPLES", 5), ("PTTL", keys.binding_of(queue))]
    return commands


def _info_findings(subject: str, name: str, shown: str, info: dict[str, str]) -> Iterator[Finding]:
    version, role = info.get("redis_version", "?"), info.get("role") or info.get("redis_mode", "?")
    yield Finding("ok", subject, f"{shown} answers: Redis {version}, {role}")
    policy = info.get("maxmemory_policy", "noeviction")
    if name == "broker" and policy != "noeviction":
        yield Finding(
            "warn", subject, f"maxmemory_policy is {policy}: Redis may evict queues and bindings",
            "CONFIG SET maxmemory-policy noeviction",
        )  # fmt: skip


def _event_findings(app: App) -> Iterator[Finding]:
    subject = "events"
    topic, stream = app.broker.subscription, app.broker.stream
    try:
        stream.open()
    except SourceError as error:
        grant = app.broker.rights if error.reason == "noperm" else ""
        cure = grant or _cure(error.reason)
        yield Finding("fail", subject, f"no subscription to {topic}: {error.reason}: {error}", cure)
        return
    yield Finding("ok", subject, f"subscribed to {topic}; listening for {LISTEN_SECONDS:g} s")
    heard = Heard()
    try:
        _listen(app, heard)
    except SourceError as error:
        yield Finding("fail", subject, f"the subscription was lost: {error.reason}", _cure(error.reason))
    finally:
        stream.close()
    yield from heard_findings(heard)


def _listen(app: App, heard: Heard) -> None:
    until = app.clock.monotonic() + LISTEN_SECONDS
    while app.clock.monotonic() < until:
        for payload in app.broker.stream.read():
            heard.messages += 1
            try:
                for event in app.broker.decode(payload):
                    heard.fold(event)
            except DecodeError:
                heard.undecodable += 1


def heard_findings(heard: Heard) -> Iterator[Finding]:
    """Give what the events heard say about workers and Celery's settings."""
    if heard.undecodable:
        yield Finding(
            "warn", "events", f"{heard.undecodable} of {heard.messages} messages can't be read",
            "set Celery's event_serializer to json or msgpack",
        )  # fmt: skip
    if not heard.workers:
        yield Finding(
            "warn", "workers", "no heartbeat was heard",
            "start a worker; or, if one runs: no --without-heartbeat, same database, same event_exchange and "
            "broker_transport_options.global_keyprefix here as there",
        )  # fmt: skip
        return
    yield Finding("ok", "workers", f"{len(heard.workers)} heard: {', '.join(sorted(heard.workers)[:5])}")
    if heard.started or heard.received:
        yield Finding("ok", "task events", f"{heard.received} received, {heard.started} started")
    elif heard.worked:
        yield Finding(
            "fail", "task events", "workers execute tasks and send no task events: all celery_task* stay empty",
            "start the workers with -E, or set worker_send_task_events = True",
        )  # fmt: skip
    else:
        yield Finding("note", "task events", "no task ran meanwhile; workers need -E for their events")
    if heard.sent:
        yield Finding("ok", "task-sent", f"{heard.sent} heard")
    elif heard.received:
        yield Finding(
            "warn", "task-sent", "tasks arrive without task-sent: queue is unknown, celery_task_wait_seconds empty",
            "set task_send_sent_event = True where tasks are published",
        )  # fmt: skip
    else:
        yield Finding("note", "task-sent", "no task was published meanwhile; publishers need task_send_sent_event")


def _cure(reason: str) -> str:
    return {
        "refused": "is the server running, and is this its host and port?",
        "dns": "check the host name",
        "timeout": "check address and firewall, and whether the port speaks TLS (rediss://) or not (redis://)",
        "auth": "check user and password in the URL",
        "tls": "check certificate and ssl_ca_certs; a port without TLS needs redis://",
        "noperm": "the user lacks rights",
        "nomaster": "check master_name in the transport options, and which name the sentinels use",
        "loading": "wait until the server has loaded its data",
        "masterdown": "the replica has lost its master; look there, or read the master",
        "moved": "the server is a node of a cluster, which Celery can't use",
        "clusterdown": "the cluster lacks slots or nodes; look at CLUSTER INFO",
        "busy": "a script blocks the server: SCRIPT KILL, or wait",
        "closed": "the server closed the connection; a TLS port needs rediss://",
    }.get(reason, "")
