# SPDX-License-Identifier: Apache-2.0
"""Secrets planted in every input of the exporter, and searched for in every output.

Every planted text contains the word PLANTED, which no other text does, and characters that URLs and reprs escape.
"""

import json
import signal
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import bcrypt
import pytest

from tests.integration.application import build
from tests.integration.conftest import Programs
from tests.integration.exporters import Exporter
from tests.integration.processes import free_port
from tests.integration.rabbitmq_server import RabbitServer
from tests.integration.redis_servers import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.servers

WORD = "PLANTED"
PATHS = ("/", "/metrics", "/api/v1/status", "/-/ready", "/-/healthy", "/nowhere", "/metrics/", "/%2e%2e/etc")
ACCEPTS = ("text/plain", "application/openmetrics-text; version=1.0.0")
USER, PASSWORD = "prometheus", "web-PLANTED"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
# A program that runs the exporter with an event stream and a thread whose errors contain every secret.
CRASHING = """
import sys, threading
from pathlib import Path
from celery_redis_exporter.cli import main
from celery_redis_exporter.collectors.events import EventCollector

def fail(*_):
    text = Path(sys.argv[1]).read_text()
    threading.Thread(target=int, args=(text,), name="crash").start()
    raise RuntimeError(text, text.encode(), {"connection": text.splitlines()})

EventCollector.run = fail
raise SystemExit(main(sys.argv[2:]))
"""


def plant(name: str) -> str:
    """Return a secret with characters that a URL, JSON and a repr each write differently."""
    return f"{name}-%41'\"\\é@:/{WORD}"


class Plants(NamedTuple):
    """The settings of the exporter, in the environment only: its command line contains none of them."""

    environment: Mapping[str, str]
    broker: RedisServer
    results: RedisServer
    broker_file: Path
    results_file: Path
    secrets: tuple[str, ...]

    def rotate(self) -> None:
        """Change the user's passwords of both servers, in their files too, and cut every connection."""
        passwords = plant("broker-rotated"), plant("results-rotated")
        self.broker_file.write_text(broker_url(self.broker, passwords[0]), encoding="utf-8")
        self.results_file.write_text(f"{passwords[1]}\n", encoding="utf-8")
        for server, password in zip((self.broker, self.results), passwords, strict=True):
            server.command("CONFIG", "SET", "requirepass", password)
            server.password = password
            server.command("CLIENT", "KILL", "SKIPME", "no")


def broker_url(server: RedisServer, password: str) -> str:
    """Return a URL as a file contains it."""
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{server.port}/0"


@pytest.fixture
def plants(programs: Programs) -> Plants:
    """Start servers, and plant secrets in everything that the exporter reads."""
    folder = programs.folder / "plants"
    folder.mkdir()
    broker, results = (programs.redis(password=plant(name)) for name in ("broker", "results"))
    # Redis repeats the arguments of an unknown command, also behind a sentinel's address.
    mute, by_file, query = (programs.redis(options=("--rename-command", "AUTH", "")) for _ in range(3))
    wrong, plain = programs.redis(password=plant("right")), programs.redis()
    broker_file, results_file, web = folder / "broker", folder / "results", folder / "web.yml"
    broker_file.write_text(broker_url(broker, broker.password), encoding="utf-8")
    results_file.write_text(f"{results.password}\n", encoding="utf-8")
    web.write_text(json.dumps({"basic_auth_users": {USER: HASH}}), encoding="utf-8")
    other_file = folder / "other"
    other_file.write_text(plant("file-of-a-server"), encoding="utf-8")
    names = ("wrong", "mute", "behind", "sentinel", "ssl", "query", "options")
    secret = {name: plant(name) for name in names}
    in_url = {name: quote(text, safe="") for name, text in secret.items()}
    servers: dict[str, dict[str, Any]] = {
        "wrong": {"url": f"redis://:{in_url['wrong']}@127.0.0.1:{wrong.port}/0"},
        "mute": {"url": f"redis://:{in_url['mute']}@127.0.0.1:{mute.port}/0"},
        "token": {"url": f"redis://user-{WORD}@127.0.0.1:{free_port()}/0"},
        "by-file": {"url": f"redis://127.0.0.1:{by_file.port}/1", "password_file": str(other_file)},
        "behind": {
            "url": f"sentinel://:{in_url['behind']}@127.0.0.1:{mute.port}/0",
            "master_name": "m",
            "sentinel_kwargs": {"password": secret["sentinel"]},
        },
        "tls": {
            "url": f"rediss://127.0.0.1:{plain.port}/3?ssl_certfile={web}&ssl_keyfile={web}&ssl_password={in_url['ssl']}"
        },
        "query": {"url": f"redis://127.0.0.1:{query.port}/2?password={in_url['query']}"},
    }
    environment = {
        "EXPORTER_BROKER_URL_FILE": str(broker_file),
        "EXPORTER_RESULT_BACKEND_URL": f"redis://:old-{WORD}@127.0.0.1:{results.port}/0",
        "EXPORTER_RESULT_BACKEND_PASSWORD_FILE": str(results_file),
        "EXPORTER_REDIS__SERVERS": json.dumps(servers),
        "EXPORTER_BROKER_TRANSPORT_OPTIONS": json.dumps({"sentinel_kwargs": {"password": secret["options"]}}),
        "EXPORTER_WEB__CONFIG__FILE": str(web),
        "EXPORTER_LOG__LEVEL": "debug",
        "EXPORTER_SCRAPE__FRESHNESS": "0",
        "EXPORTER_SERIES__ZERO_FIRST": "0",
        "EXPORTER_REDBEAT__INTERVAL": "1s",
        "EXPORTER_QUEUES__DISCOVERY_INTERVAL": "1s",
    }
    files = (broker.password, results.password, other_file.read_text(encoding="utf-8"), f"old-{WORD}", f"user-{WORD}")
    return Plants(environment, broker, results, broker_file, results_file, (*secret.values(), *files, HASH))


def clean(text: str) -> None:
    """Check that a text contains no planted secret; fail with the text around it."""
    places = [place for place in range(len(text)) if text.startswith(WORD, place)]
    assert [] == [text[max(0, place - 150) : place + 20] for place in places]


def answers(exporter: Exporter) -> Iterator[str]:
    """Yield every response that a client can receive, with headers."""
    basic = {"Authorization": "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    wrong = {"Authorization": "Basic " + b64encode(f"{USER}:wrong-{WORD}".encode()).decode()}
    for path in PATHS:
        for headers in (*({**basic, "Accept": accept} for accept in ACCEPTS), wrong, {}):
            answer = exporter.get(path, headers)
            yield f"{answer.headers} {answer.text}"


def publish_secrets(plants: Plants) -> None:
    """Leave a task with secrets in a queue, and publish an event whose arguments, result and exception are secrets."""
    with closing(build(broker_url(plants.broker, plants.broker.password), {})) as app:
        app.send_task("left", [f"args-{WORD}"], {"key": f"kwargs-{WORD}"}, queue="left")
    common = {"uuid": "u", "timestamp": 1.8e9, "hostname": "w@h"}
    secret = {"args": f"({WORD!r},)", "kwargs": f"{{{WORD!r}: 1}}", "result": WORD}
    failed = {"exception": f"ValueError({WORD!r})", "traceback": f"Traceback\n  {WORD}\nValueError: {WORD}"}
    events = [
        {"type": "task-sent", "name": "t", "queue": "q"}, {"type": "task-received", "name": "t"},
        {"type": "task-started"}, {"type": "task-failed", **failed}, {"type": "task-succeeded"},
    ]  # fmt: skip
    body = b64encode(json.dumps([{**common, **secret, **event} for event in events]).encode()).decode()
    for message in (json.dumps({"body": body, "content-type": "application/json"}), f"broken {WORD}"):
        assert plants.broker.command("PUBLISH", "/0.celeryev/task.multi", message) >= 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_nothing_that_is_said_holds_a_secret(programs: Programs, plants: Plants, form: str) -> None:
    """With all log levels, after rotation and failures, no log line, page, metric or error contains a secret."""
    listen = f"127.0.0.1:{free_port()}"
    environment = {**plants.environment, "EXPORTER_LOG__FORMAT": form, "EXPORTER_WEB__LISTEN_ADDRESS": listen}
    process = programs.run(sys.executable, "-m", "celery_redis_exporter", environment=environment)
    process.wait_for("app.started")
    exporter = Exporter.attached(process, int(listen.rpartition(":")[2]))
    basic = {"Authorization": "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()}

    def shows(*samples: str) -> bool:
        text = exporter.get("/metrics", basic).text
        return all(f"\n{sample}" in text for sample in samples)

    up = ('redis_up{redis="broker"} 1.0', 'redis_up{redis="results"} 1.0', "celery_exporter_event_stream_up 1.0")
    eventually(lambda: shows(*up))
    publish_secrets(plants)
    eventually(lambda: shows('celery_tasks_total{queue="q",state="failure",task="t"} 1.0'))
    assert shows('redis_up{redis="mute"} 0.0', 'redis_up{redis="wrong"} 0.0')
    before = list(answers(exporter))
    plants.rotate()
    eventually(lambda: shows('celery_exporter_event_stream_reconnects_total{reason="closed"} 1.0', *up))
    for text in (*before, *answers(exporter)):
        clean(text)
    clean(Path(f"/proc/{process.pid}/cmdline").read_text(encoding="utf-8"))
    eventually(lambda: "auth" in process.output())  # the background reader got a wrong password
    process.signal(signal.SIGTERM)
    assert 0 == process.ended()
    clean(process.output())


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_bug_tells_no_secret(programs: Programs, plants: Plants, tmp_path: Path, form: str) -> None:
    """Tracebacks of bugs, in supervised and other threads, contain none of the secrets of their messages."""
    known = tmp_path / "known"
    known.write_text("\n".join([*plants.secrets, ""]), encoding="utf-8")
    environment = {**plants.environment, "EXPORTER_LOG__FORMAT": form, "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0"}
    process = programs.run(sys.executable, "-c", CRASHING, str(known), environment=environment)
    process.wait_for("supervisor.bug_met")
    process.wait_for("process.crashed")
    process.signal(signal.SIGTERM)
    assert 0 == process.ended()
    clean(process.output())
    assert "Traceback" in process.output()
    assert "RuntimeError" in process.output()


@pytest.mark.parametrize("command", [("check",), ("analyze", "--no-progress"), ("check", "--help")], ids=" ".join)
def test_commands_tell_no_secret(programs: Programs, plants: Plants, command: tuple[str, ...]) -> None:
    """The output of check and analyze contains no password, whether servers accept or refuse it."""
    process = programs.run(
        sys.executable, "-m", "celery_redis_exporter", *command, environment=dict(plants.environment)
    )
    assert process.ended(60) == (0 if "--help" in command else 1), process.tail()
    clean(process.output())
    assert "--help" in command or all(reason in process.output() for reason in ("auth: ", "protocol: ", "tls: "))


@pytest.mark.parametrize("there", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_rabbitmq_tells_no_secret(programs: Programs, *, there: bool) -> None:
    """No log line and no page contains the URL of a RabbitMQ that is unreachable or refuses the password."""
    with ExitStack() as ending:
        if there:
            server = RabbitServer(programs.folder / "rabbit")
            ending.callback(server.stop)
            url = server.url(password=plant("amqp"))
        else:
            url = f"amqp://user:{quote(plant('amqp'), safe='')}@127.0.0.1:{free_port()}//"
        look_at_kombu(programs, url)


def look_at_kombu(programs: Programs, url: str) -> None:
    """Run the exporter and ``check`` on a broker that refuses them, and check their output."""
    environment = {
        "EXPORTER_BROKER_URL": f"{url};{url}",
        "EXPORTER_LOG__LEVEL": "debug",
    }
    exporter = programs.exporter(environment=environment)
    eventually(lambda: exporter.lines("supervisor.source_failed"))
    for path in PATHS:
        clean(exporter.get(path).text)
    check = programs.run(sys.executable, "-m", "celery_redis_exporter", "check", environment=environment)
    assert check.ended(30) == 1
    clean(check.output())
    exporter.process.signal(signal.SIGTERM)
    assert exporter.process.ended() == 0
    clean(exporter.process.output())
