# SPDX-License-Identifier: Apache-2.0
"""The Redis commands that send requests to workers and read their replies."""

import base64
import json
from typing import Any, cast

import pytest

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources.control import MAT_SECONDS, READ_AT_ONCE, RedisControlClient, Request
from celery_redis_exporter.sources.queues import QueueKeys
from celery_redis_exporter.sources.refusals import Refusal
from celery_redis_exporter.sources.session import Session
from celery_redis_exporter.sources.wire import Command
from tests.integration.acl import CONTROL_RIGHTS
from tests.support.options import queue_keys, topic

TOPIC = topic(event_exchange="celery.pidbox", global_keyprefix="app:")


class ScriptedSession:
    """A session that stores the commands, and replies from a list as Redis would, or with scripted replies."""

    def __init__(self) -> None:
        self.sent: list[Command] = []
        self.list: list[bytes] = []
        self.refusals: dict[str, Refusal] = {}

    def exchange(self, commands: list[Command], deadline: float) -> list[Any]:
        """Return the replies to a batch."""
        assert deadline == 2
        self.sent += commands
        return [self.refusals.get(str(command[0])) or self._answer(command) for command in commands]

    def _answer(self, command: Command) -> object:
        match command:
            case ("DEL", _):
                self.list = []
            case ("RPUSH", _, bytes(element)):
                self.list.append(element)
            case ("LRANGE", _, int(start), int(stop)):
                size = len(self.list)
                return self.list[max(size + start, 0) : max(size + stop + 1, 0)]
        return 1


def make(session: ScriptedSession, keys: QueueKeys | None = None) -> RedisControlClient:
    """Return a client on such a session."""
    keys = keys or queue_keys(global_keyprefix="app:")
    return RedisControlClient(cast("Session", session), keys, TOPIC, 2)


def test_a_mat_is_laid_before_anything_is_asked() -> None:
    """The list for replies exists with a time to live before the first worker can push to it."""
    session = ScriptedSession()
    make(session).open()
    (_, key), pushed, expires = session.sent
    assert str(key).startswith("app:celery-redis-exporter.reply.")
    assert ("RPUSH", key, b"mat") == pushed
    assert ("EXPIRE", key, MAT_SECONDS) == expires


def test_answers_are_given_once_oldest_first() -> None:
    """Replies are returned oldest first, some at a time, each once, and without the placeholder."""
    session = ScriptedSession()
    mailbox = make(session)
    mailbox.open()
    assert [] == mailbox.receive()
    for number in range(READ_AT_ONCE + 2):
        session.list.insert(0, b"%d" % number)
    assert [b"%d" % number for number in range(READ_AT_ONCE)] == mailbox.receive()
    session.list.insert(0, b"late")
    assert [b"8", b"9", b"late"] == mailbox.receive()
    assert [] == mailbox.receive()
    assert b"mat" == session.list[-1]


def test_a_request_names_workers_and_where_to_answer() -> None:
    """A request is kombu's message; its replies go to the exporter's list by the default exchange, with no binding."""
    session = ScriptedSession()
    mailbox = make(session)
    mailbox.open()
    mailbox.send([Request("stats", ["w1@host", "w2@host"], "7/stats")])
    command, channel, payload = session.sent[-1]
    assert ("PUBLISH", "app:/0.celery.pidbox") == (command, channel)
    message = json.loads(str(payload))
    queue = str(session.sent[0][1]).removeprefix("app:")
    assert {
        "method": "stats", "arguments": {}, "destination": ["w1@host", "w2@host"], "pattern": None, "matcher": None,
        "ticket": "7/stats", "reply_to": {"exchange": "", "routing_key": queue},
    } == json.loads(base64.b64decode(message["body"]))  # fmt: skip
    assert "celery.pidbox" == message["properties"]["delivery_info"]["exchange"]
    assert ("application/json", "base64") == (message["content-type"], message["properties"]["body_encoding"])


def test_a_command_that_wants_no_answer_asks_for_none() -> None:
    """Without a ticket a request contains no address for replies."""
    session = ScriptedSession()
    make(session).send([Request("enable_events", ["w1@host"])])
    body = json.loads(base64.b64decode(json.loads(str(session.sent[0][2]))["body"]))
    assert {"method", "arguments", "destination", "pattern", "matcher"} == body.keys()


def test_nothing_is_left_unless_answers_are_due() -> None:
    """A complete round leaves no key; if replies are missing, a placeholder stays for its time to live."""
    session = ScriptedSession()
    mailbox = make(session)
    mailbox.open()
    session.list.insert(0, b"answer")
    mailbox.settle(complete=False)
    assert [b"mat"] == session.list
    assert "EXPIRE" == session.sent[-1][0]
    mailbox.settle(complete=True)
    assert [] == session.list


def test_the_list_is_where_kombu_pushes() -> None:
    """Workers push to the list of priority 0, whatever the priority steps are."""
    session = ScriptedSession()
    make(session, queue_keys(priority_steps=(2, 5), sep=":")).open()
    assert str(session.sent[0][1]).endswith(":5")


@pytest.mark.parametrize(
    ("text", "reason"), [("NOPERM this user has no permissions", "noperm"), ("WRONGTYPE no list", "protocol")]
)
@pytest.mark.parametrize("command", ["DEL", "RPUSH", "EXPIRE"])
def test_refusals(command: str, text: str, reason: str) -> None:
    """A refused command raises an error that names it and its reason."""
    session = ScriptedSession()
    session.refusals = {command: Refusal(text)}
    with pytest.raises(SourceError, match=command) as caught:
        make(session).open()
    assert reason == caught.value.reason


def test_rights() -> None:
    """The permissions that the client names are those that are tested on a real server."""
    mailbox = RedisControlClient(
        cast("Session", ScriptedSession()), queue_keys(), topic(event_exchange="celery.pidbox"), 2
    )
    assert f"ACL SETUSER <user> {' '.join(CONTROL_RIGHTS)}" == mailbox.rights
