# SPDX-License-Identifier: Apache-2.0
"""Classification of keys into groups."""

import uuid

import pytest
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu.transport.redis import Channel

from celery_redis_exporter.clock import SystemClock
from celery_redis_exporter.decode.key_groups import (
    LONGEST_LABEL,
    LONGEST_NAME,
    REMEMBERED,
    CeleryNames,
    KeyClassifier,
    show,
    single_keys,
)
from tests.support.options import celery_names

ID = "5c9b7d2e-8f11-4f0c-a2f3-0d6f0b0e7a11"


def classify(name: str | bytes, names: CeleryNames | None = None, **patterns: tuple[str, ...]) -> str:
    """Classify one key."""
    return KeyClassifier(names or celery_names(), patterns).classify(name.encode() if isinstance(name, str) else name)


@pytest.mark.parametrize("prefix", ["", "app", "app:", "a.b-"])
def test_keys_of_the_result_backend_are_told_by_kind(prefix: str) -> None:
    """Keys are grouped by the names that Celery's own backend writes, with any global_keyprefix."""
    app = Celery(set_as_current=False)
    app.conf.result_backend_transport_options = {"global_keyprefix": prefix}
    backend = RedisBackend(app=app, host="localhost")
    classifier = KeyClassifier(celery_names(result_prefix=prefix))
    assert "celery-task-meta" == classifier.classify(backend.get_key_for_task(ID))
    assert "chord-unlock" == classifier.classify(backend.get_key_for_chord(ID))
    for part in ("", ".j", ".s", ".t"):
        assert "celery-taskset-meta" == classifier.classify(backend.get_key_for_group(ID, part))


@pytest.mark.parametrize("prefix", ["app", "app:", "a.b-"])
def test_keys_of_results_of_celery_before_5_5(prefix: str) -> None:
    """Celery 5.3 and 5.4 write an underscore after every prefix."""
    classifier = KeyClassifier(celery_names(result_prefix=prefix))
    assert "celery-task-meta" == classifier.classify(f"{prefix}_celery-task-meta-{ID}".encode())
    assert "chord-unlock" == classifier.classify(f"{prefix}_chord-unlock-{ID}".encode())
    assert "celery-taskset-meta" == classifier.classify(f"{prefix}_celery-taskset-meta-{ID}.j".encode())


def test_keys_of_the_broker_are_told_by_kind() -> None:
    """Bindings, unacknowledged messages, replies and RPC results are grouped under kombu's own names for them."""
    bindings = (Channel.keyprefix_queue % "celery", Channel.keyprefix_binding_permanent % "celery")
    assert {"_kombu.binding"} == {classify(key) for key in (*bindings, Channel.keyprefix_binding_deadlines)}
    assert ["unacked", "unacked_index"] == [classify(key) for key in (Channel.unacked_key, Channel.unacked_index_key)]
    assert "*.reply.celery.pidbox" == classify(f"{ID}.reply.celery.pidbox")
    assert "rpc-result" == classify(ID)
    assert "*:x" == classify(f"{ID}:x")
    assert ["redbeat:*", "qo_*"] == [classify(key) for key in ("redbeat:report", "qo_send_mail_to-7")]
    assert "rb:*" == classify("rb:report", celery_names(redbeat_prefix="rb:"))


def test_a_queue_is_one_group_with_all_its_priorities() -> None:
    """Lists of a queue's priority steps are one group under its name, or under the name that is shown for it."""
    names = celery_names(queues={"orders": "orders", "tenant-17": "tenant"})
    for suffix in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
        assert "orders" == classify(f"orders{suffix}", names)
        assert "tenant" == classify(f"tenant-17{suffix}", names)
    assert "unheard-of" == classify("unheard-of\x06\x163", names)
    assert "other" == classify("other:5", celery_names(separator=":", priority_steps=(0, 5)))


def test_global_keyprefix_belongs_to_every_key_of_the_broker() -> None:
    """With a prefix only keys that start with it are classified as the application's."""
    names = celery_names(prefix="p[1]:", queues={"orders": "orders"})
    kinds = ("_kombu.binding.celery", "unacked", "unacked_index", f"{ID}.reply.celery.pidbox", ID, "orders")
    groups = ("_kombu.binding", "unacked", "unacked_index", "*.reply.celery.pidbox", "rpc-result", "orders")
    assert groups == tuple(classify(f"p[1]:{key}", names) for key in kinds)
    assert ("unacked", "*", "orders") == tuple(
        classify(key, celery_names(prefix="q:")) for key in ("unacked", ID, "orders")
    )
    assert "_kombu.binding.celery" == classify("_kombu.binding.celery", names)


@pytest.mark.parametrize(("name", "glob", "fits"), [
    ("market:1", "market:*", True),
    ("markets:1", "market:*", False),
    ("a-17-z", "a*z", True),
    ("a-17-zz", "a*-?-z", False),
    ("a.b.c.d", "a*.c.*", True),
    ("abab", "*ab", True),
    ("aba", "*ab", False),
    ("x5", "x[0-9]", True),
    ("x5", "x[^0-9]", False),
    ("x]", "x[]]", True),
    ("x5", "x[9-0]", True),
    ("xf", "x[abc-e]", False),
    ("xd", "x[abc-e]", True),
    ("xe", "x[abc-e]", True),
    ("x[y", "x[y", True),
    ("a]x[y", "a]x[y", True),
    ("x-", "x[a-]", True),
    ("xb", "x[a-]", False),
    ("x9", "x[0-89]", True),
    ("xay", "x[ab]y", True),
    ("xy", "x[ab]y", False),
    ("x*", r"x\*", True),
    ("xy", r"x\*", False),
    ("[", "[", True),
    ("line\nbreak", "line*k", True),
])  # fmt: skip
def test_patterns_are_globs_as_redis_reads_them(name: str, glob: str, *, fits: bool) -> None:
    """A key belongs to the user's group if Redis's own glob would match it."""
    assert fits == (classify(name, mine=(glob,)) == "mine")


def test_celery_comes_before_the_user_and_the_user_before_the_rest() -> None:
    """A user's pattern does not match Celery's keys, and the first matching pattern counts."""
    patterns = {"all": ("celery*", "user:*"), "late": ("user:1",)}
    assert "celery-task-meta" == classify(f"celery-task-meta-{ID}", None, **patterns)
    assert ["all", "other:*"] == [classify(key, None, **patterns) for key in ("user:1", "other:1")]


@pytest.mark.parametrize(("name", "group"), [
    ("user:17:profile", "user:*:profile"),
    (f"session:{ID}", "session:*"),
    (f"session:{ID.upper()}:cart", "session:*:cart"),
    ("cache/0123456789abcdef/page", "cache/*/page"),
    ("token:Ab3dE9fGh1JkLmN0pq", "token:*"),
    ("v2.price", "v*.price"),
    ("a:b:c:d:e", "a:b:c:*"),
    ("a:1:b:2:c:3:d", "a:*:b:*:c:*:*"),
    ("deadbeef", "*"),
    ("added", "added"),
    ("facade-page", "facade-page"),
    ("1700000000", "*"),
    ("gr\u00f6\u00dfe:7", "gr\u00f6\u00dfe:*"),
    ("", "(empty)"),
])  # fmt: skip
def test_what_differs_from_key_to_key_becomes_a_star(name: str, group: str) -> None:
    """Ids and numbers become stars, and at most three parts are kept unchanged."""
    assert group == classify(name)


@pytest.mark.parametrize("name", [
    b"\xff\xfe\x00\x1b[31m", b'quote" and \\ and \n', b"\x7f" * 50, "\u202e\u0000".encode(), b"\xf0\x9f" * 200,
])  # fmt: skip
def test_hostile_names_become_printable(name: bytes) -> None:
    """Control characters and bytes that are not UTF-8 are escaped; a label is printable and bounded."""
    label = classify(name)
    assert label.isprintable()
    assert len(label) <= LONGEST_LABEL
    assert classify(name) == label


def test_long_names_cost_what_short_ones_do() -> None:
    """A name of a megabyte is grouped within milliseconds, whatever the patterns are."""
    clock = SystemClock()
    classifier = KeyClassifier(
        celery_names(), {"trap": ("*a*a*a*a*a*a*a*b", "[a-z]*[a-z]*[a-z]*!"), "tail": ("*tail*",)}
    )
    started = clock.monotonic()
    for name in (b"a" * 1_000_000, b"1:" * 500_000, b"x-" * 500_000):
        classifier.classify(name)
    assert clock.monotonic() - started < 0.5
    assert max(map(len, classifier._labels)) <= LONGEST_NAME
    # The second half of a long name is as long as its first.
    assert "tail" == classifier.classify(b"x" * 1_000 + b"tail" + b"y" * (LONGEST_NAME // 2 - 4))
    assert "*.reply.celery.pidbox" == classifier.classify(b"x" * 1_000_000 + b".reply.celery.pidbox")


def test_memory_is_bounded() -> None:
    """The number of remembered forms of names is bounded."""
    classifier = KeyClassifier(celery_names())
    letters = str.maketrans("0123456789", "ghijklmnop")
    for number in range(REMEMBERED + 100):
        classifier.classify(str(number).translate(letters).encode())
    assert len(classifier._labels) <= REMEMBERED


def test_a_name_that_is_shown_is_cut() -> None:
    """A long name is cut and ends in dots."""
    assert ("q" * (LONGEST_LABEL - 3) + "...", "q" * LONGEST_LABEL) == (show(b"q" * 500), show(b"q" * LONGEST_LABEL))


def test_names_are_classified_quickly() -> None:
    """Classifying a name takes microseconds; the bound is generous, so that a busy machine does not exceed it."""
    clock = SystemClock()
    classifier = KeyClassifier(celery_names(queues={"celery": "celery"}), {"market": ("market:*",)})
    kinds = (f"celery-task-meta-{uuid.uuid4()}", "market:17", f"session:{uuid.uuid4()}", "user:17:profile", "celery")
    names = [name.encode() for name in kinds] * 4000
    started = clock.monotonic()
    for name in names:
        classifier.classify(name)
    assert (clock.monotonic() - started) / len(names) < 20e-6


def test_groups_that_are_one_key() -> None:
    """A group is a single key if its label is the whole name of its keys and it is not a group of the user's."""
    groups = {"bigz": [b"bigz", b"bigz"], "user:*": [b"user:1"], "cache": [b"cache"], "queue": [b"queue", b"queue2"]}
    assert {"bigz"} == single_keys(groups, {"cache"})
