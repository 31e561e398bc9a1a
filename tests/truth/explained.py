# SPDX-License-Identifier: Apache-2.0
"""The acts that Celery never reports: kinds of difference between the facts and any count of events.

Data only. Each kind names the line of Celery that sends no event. ``tests/unit/test_truth.py`` compares the lines with
the installed Celery.
"""

from typing import NamedTuple


class Explained(NamedTuple):
    """A kind of difference. ``code`` is the text at ``line`` of ``file``, within Celery's package."""

    kind: str
    reason: str
    file: str
    line: int
    code: str


IGNORED = Explained(
    "ignored",
    "An execution that raises Ignore, or is replaced, is acknowledged without an event.",
    "worker/request.py",
    705,
    "return self.acknowledge()",
)
REQUEUED = Explained(
    "requeued after its acknowledgement",
    "Reject(requeue=True) of a message that was acknowledged early sends no event.",
    "worker/request.py",
    908,
    "if not self.acknowledged:",
)
KILLED = Explained(
    "worker killed",
    "Events of tasks wait in a buffer of the worker's memory, which SIGKILL destroys; nobody reports the end.",
    "events/dispatcher.py",
    199,
    "buf.append(event)",
)
SHUT_DOWN = Explained(
    "worker shut down",
    "The dispatcher is closed before the pool has finished: later events are dropped.",
    "worker/consumer/events.py",
    70,
    "ignore_errors(c, dispatcher.disable)",
)
EXPIRED = Explained(
    "expired in RabbitMQ",
    "expires is the message's time to live as well: RabbitMQ drops the message, and no worker learns of it.",
    "app/base.py",
    1177,
    'options["expiration"] = expires_s',
)
UNACCEPTED = Explained(
    "child killed before its acceptance was read",
    "prefork executes a task again if its child was killed before the main process read that the child had begun it.",
    "concurrency/asynpool.py",
    1404,
    "self._put_back(job)",
)
EXPLAINED = (IGNORED, REQUEUED, KILLED, SHUT_DOWN, EXPIRED, UNACCEPTED)
"""All kinds. There are at most six."""
