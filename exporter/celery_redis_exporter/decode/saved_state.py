# SPDX-License-Identifier: Apache-2.0
"""The encoding of the state file: a line of text that contains a checksum, then the state as msgpack.

    celery-redis-exporter-state VERSION clean|running BYTES SHA256

Input: records or bytes. Output: bytes or records, or DecodeError with one of the reasons foreign, newer, old, damaged.
``clean`` marks a file of a clean stop that no process has continued yet. The checksum covers the rest of the line too.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.saved_state import SavedState

MAGIC = b"celery-redis-exporter-state"
VERSION = 1
CLEAN, RUNNING = b"clean", b"running"
LONGEST_HEAD = 200

R = TypeVar("R", bound=Struct)


class DecodedState(NamedTuple):
    """A state, and whether it is that of a clean stop which no process has continued yet."""

    state: SavedState
    is_clean: bool


def encode_state(state: SavedState, *, clean: bool) -> bytes:
    """Return the content of a file, without records that msgpack can't express (half a surrogate pair, 65 bits)."""
    try:
        payload = msgspec.msgpack.encode(state)
    except (UnicodeEncodeError, OverflowError):
        payload = msgspec.msgpack.encode(_encodable(state))
    return _seal(payload, CLEAN if clean else RUNNING)


def mark_used(content: bytes) -> bytes:
    """Return the content of a file of a clean stop as that of a process that runs."""
    return _seal(content.partition(b"\n")[2], RUNNING)


def decode_state(content: bytes) -> DecodedState:
    """Return what a file contains; raise DecodeError."""
    head, newline, payload = content.partition(b"\n")
    words = head.split(b" ") if len(head) <= LONGEST_HEAD else []
    if words[:1] != [MAGIC]:
        cut = content[: len(MAGIC)] == MAGIC[: len(content)]
        raise DecodeError("damaged" if cut else "foreign", "it does not begin as a state file does")
    if len(words) != 5 or not newline:
        raise DecodeError("damaged", "its first line is not complete")
    _check_version(words[1])
    if content != _seal(payload, words[2]) or words[2] not in {CLEAN, RUNNING}:
        raise DecodeError("damaged", "its checksum does not fit its content")
    try:
        state = msgspec.msgpack.decode(payload, type=SavedState)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError("damaged", f"its content is not that of version {VERSION}: {error}") from None
    return DecodedState(state, words[2] == CLEAN)


def _check_version(word: bytes) -> None:
    if not word.isdigit() or len(word) > 9:
        raise DecodeError("damaged", "its version is not a number")
    if int(word) > VERSION:
        raise DecodeError("newer", f"it has version {int(word)}, and this exporter reads version {VERSION}")
    if int(word) < VERSION:
        raise DecodeError("old", f"it has version {int(word)}, and this exporter reads version {VERSION}")


def _seal(payload: bytes, mark: bytes) -> bytes:
    head = b"%s %d %s %d " % (MAGIC, VERSION, mark, len(payload))
    digest = sha256(head)
    digest.update(payload)
    return b"%s%s\n%s" % (head, digest.hexdigest().encode(), payload)


def _encodable(state: SavedState) -> SavedState:
    return replace(
        state,
        pairs=_filter(state.pairs),
        queues=_filter(state.queues),
        workers=_filter(state.workers),
        past=_filter(state.past),
        scalars={metric: _filter(rows) for metric, rows in state.scalars.items()},
        histograms={metric: _filter(rows) for metric, rows in state.histograms.items()},
    )


def _filter(records: Iterable[R]) -> list[R]:
    return [record for record in records if _is_encodable(record)]


def _is_encodable(record: Struct) -> bool:
    try:
        msgspec.msgpack.encode(record)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True
