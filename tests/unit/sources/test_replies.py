# SPDX-License-Identifier: Apache-2.0
"""Subscription messages that are too long are dropped while they arrive."""

from collections.abc import Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.errors import SourceError
from celery_redis_exporter.sources import replies
from celery_redis_exporter.sources.replies import LARGE, MOST_LINES, MOST_REPLY, MOST_TOGETHER, ReplyParser
from celery_redis_exporter.sources.wire import pack
from tests.support.sizes import scaled

LONGEST = 60_000


def message(body: bytes, kind: str = "pmessage") -> bytes:
    """Return a message as a server sends it."""
    channel = [b"/0.celeryev/*"] if kind == "pmessage" else []
    return pack([(kind, *channel, b"/0.celeryev/task.multi", body)])


def parse(sent: bytes, cuts: list[int]) -> tuple[list[bytes], int]:
    """Return the bodies that arrive, and the number of dropped messages, if ``sent`` arrives in pieces."""
    parser = ReplyParser(LONGEST)
    bodies = []
    for piece in pieces(sent, cuts):
        bodies += [reply[-1] for reply in parser.parse(bytearray(piece), len(piece))]
    return bodies, parser.dropped


def pieces(sent: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut bytes into pieces of these lengths, in turn."""
    start = turn = 0
    while start < len(sent):
        yield sent[start : start + cuts[turn % len(cuts)]]
        start += cuts[turn % len(cuts)]
        turn += 1


@pytest.mark.parametrize("kind", ["pmessage", "message"])
@pytest.mark.parametrize("cut", [scaled(7, 1), 1448, 8192, 16_384, 65_536, 128 * 1024, 10**9])
def test_what_is_too_long_is_dropped_alone(kind: str, cut: int) -> None:
    """Messages before, between and after oversized ones arrive, wherever the bytes are cut."""
    bodies = [b"a" * 100, b"b" * LONGEST * 3, b"c" * LONGEST, b"d" * LONGEST * 2, b"e" * LONGEST * 2, b"f"]
    kept = [body for body in bodies if len(body) <= LONGEST]
    assert (kept, 3) == parse(b"".join(message(body, kind) for body in bodies), [cut])


@given(
    st.lists(st.sampled_from((0, 1, 90, 5_000, 16_300, 16_384, 40_000, LONGEST, 3 * LONGEST)), min_size=1, max_size=8),
    st.lists(st.integers(1, 70_000), min_size=1, max_size=6),
)
def test_no_message_is_lost_to_another(sizes: list[int], cuts: list[int]) -> None:
    """Every message within the limit arrives, and every longer one is counted."""
    bodies = [bytes([97 + number % 26]) * size for number, size in enumerate(sizes)]
    kept = [body for body in bodies if len(body) <= LONGEST]
    assert (kept, len(bodies) - len(kept)) == parse(b"".join(map(message, bodies)), [max(cut, 200) for cut in cuts])


def test_without_a_limit_nothing_is_dropped() -> None:
    """Without a limit, replies to commands may have any length."""
    reply = b"$300000\r\n" + b"x" * 300_000 + b"\r\n:1\r\n"
    parser = ReplyParser()
    assert [b"x" * 300_000, 1] == parser.parse(bytearray(reply), len(reply))


def test_a_body_that_looks_like_messages() -> None:
    """A body's content is never read as the beginning of an oversized message."""
    body = (b"*4\r\n$8\r\npmessage\r\n$1\r\na\r\n$1\r\nb\r\n$99999\r\n" * 400)[:LONGEST]
    assert ([body, b"x"], 0) == parse(message(body) + message(b"x"), [1448])


@pytest.mark.parametrize("element", [b"*0\r\n", b"$0\r\n\r\n", b"~0\r\n"], ids=["lists", "texts", "sets"])
def test_a_list_of_very_many_is_given_up(monkeypatch: pytest.MonkeyPatch, element: bytes) -> None:
    """A list is refused at a number of lines, because each element takes many times its size in bytes."""
    most = scaled(20_000, MOST_LINES)
    monkeypatch.setattr(replies, "MOST_LINES", most)
    parser, piece = ReplyParser(), bytearray(element * 1000)
    lines = element.count(b"\n") * 1000
    parser.parse(bytearray(b"*50000000\r\n"), len(b"*50000000\r\n"))
    for _ in range(most // lines - 1):
        assert [] == parser.parse(piece, len(piece))
    with pytest.raises(SourceError, match=f"a reply of more than {most:,} lines"):
        parser.parse(piece * 2, 2 * len(piece))


def test_many_replies_may_have_more_lines_together() -> None:
    """Lines are counted from the last complete reply."""
    parser, piece = ReplyParser(), bytearray(b"*2\r\n$1\r\na\r\n:1\r\n" * 1000)
    for _ in range(2 * MOST_LINES // 4000):
        assert 1000 == len(parser.parse(piece, len(piece)))


def test_all_connections_together_have_a_limit() -> None:
    """Unfinished replies of all connections share a limit; small ones continue, and closed connections free theirs."""

    def begin(size: int) -> ReplyParser:
        parser, piece = ReplyParser(), bytearray(b"$2999999999\r\n" + b"x" * size)
        assert [] == parser.parse(piece, len(piece))
        return parser

    before = replies._UNFINISHED.bytes
    parsers = [begin(MOST_REPLY - 1000) for _ in range(MOST_TOGETHER // MOST_REPLY)]
    small = begin(LARGE // 2)
    with pytest.raises(SourceError, match="bytes on all connections"):
        begin(LARGE + 1)
    parsers.pop()
    parsers.append(begin(LARGE + 1))
    small.parse(bytearray(b"x" * 1000), 1000)
    del parsers, small
    assert before == replies._UNFINISHED.bytes


def feed(parser: ReplyParser, *pieces: bytes) -> None:
    """Parse pieces one after the other."""
    for piece in pieces:
        parser.parse(bytearray(piece), len(piece))


@pytest.mark.parametrize("before", [b"", b"+OK\r\n", b"*2\r\n:1\r\n", b"$3\r\na>b\r\n"])
@pytest.mark.parametrize("cut", range(1, 12))
def test_a_long_push_is_refused_before_it_takes_memory(before: bytes, cut: int) -> None:
    """Hiredis fills the list of a push at once, so its header is refused, however it is cut into pieces."""
    parser, sent = ReplyParser(), before + b">91160366\r\n"
    memory = psutil.Process().memory_info().rss
    with pytest.raises(SourceError, match="too long"):
        feed(parser, sent[:-cut], sent[-cut:])
    assert psutil.Process().memory_info().rss - memory < 50 * 2**20


def test_what_looks_like_a_push_within_a_line_is_none() -> None:
    """A ``>`` in a text, a short push, and a text that ends with a newline are replies as ever."""
    parser = ReplyParser()
    replies = [b"$12\r\nab>123456789\r\n", b"$2\r\n\r\n\r\n", b">1\r\n:1\r\n", b"+>123456789\r\n"]
    found = [parser.parse(bytearray(reply), len(reply)) for reply in replies]
    assert [[b"ab>123456789"], [b"\r\n"], [[1]], [b">123456789"]] == found
