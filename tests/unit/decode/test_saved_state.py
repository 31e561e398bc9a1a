# SPDX-License-Identifier: Apache-2.0
"""The encoding of the state file: it reads what it wrote, and refuses everything else."""

from hashlib import sha256

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode.saved_state import decode_state, encode_state, mark_used
from celery_redis_exporter.errors import DecodeError
from celery_redis_exporter.records.saved_state import (
    SavedHistogram,
    SavedLedger,
    SavedPair,
    SavedParts,
    SavedPast,
    SavedQueue,
    SavedSeries,
    SavedState,
    SavedWorker,
)

LEDGER = SavedLedger(10, 1_800_000_000.5, 1, 2, 1, None, 0, 0, seen_any=True)


def saved(*scalars: SavedSeries) -> SavedState:
    """Return a small state with series of every kind."""
    return SavedState(
        1_800_000_000.0, "b" * 32, "n" * 32,
        [SavedPair("t", "q", 1_799_999_999.0, ("w@host",))],
        [SavedQueue("q", 1_799_999_990.0, certain=True)],
        [SavedWorker("w@host", "online", 1.0, 7, 2.0, 1, 2, 0, LEDGER, "")],
        [SavedPast("celery_worker_starts_total", ("w",), 3)],
        [(0.5, 1.0)],
        {"celery_tasks_sent_total": [SavedSeries(("t", "q"), 3, 5.0, 0.25), *scalars]},
        {
            "celery_task_wait_seconds": [
                SavedHistogram(("t", "q"), 0, [1, 0, 2], 3.5, 5.0),
                SavedHistogram(("t", "r"), 0, [1, 0, 2], 3.5, 5.0, None, SavedParts(3, {0.5: 1, float("inf"): 2})),
            ]
        },
    )  # fmt: skip


@pytest.mark.parametrize("clean", [True, False])
def test_what_is_written_is_read_again(clean: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """A state is unchanged after it was written and read, and so is the mark of a clean stop."""
    assert (saved(), clean) == decode_state(encode_state(saved(), clean=clean))


def test_the_mark_of_a_clean_stop_is_removed() -> None:
    """A file that is marked as used has the same state, and no mark of a clean stop."""
    assert (saved(), False) == decode_state(mark_used(encode_state(saved(), clean=True)))


def test_every_flipped_byte_is_refused() -> None:
    """A file is refused if any of its bytes changes in any way."""
    content = encode_state(saved(), clean=False)
    for place in range(len(content)):
        for mask in (0x01, 0x04, 0x20, 0x80, 0xFF):
            broken = content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]
            with pytest.raises(DecodeError):
                decode_state(broken)


def test_every_truncation_is_refused_as_damaged() -> None:
    """A file that ends too early, at any position, is damaged; so is one with data after its end."""
    content = encode_state(saved(), clean=True)
    for broken in [*(content[:length] for length in range(len(content))), content + b"\0"]:
        with pytest.raises(DecodeError) as caught:
            decode_state(broken)
        assert "damaged" == caught.value.reason


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    """A file with any other content is refused with one of the four reasons."""
    with pytest.raises(DecodeError) as caught:
        decode_state(content)
    assert caught.value.reason in {"foreign", "damaged"}


@pytest.mark.parametrize("content", [b"# notes\n", b"zone\n", b" ", b"x" * 1_000])
def test_a_foreign_file_is_named_so(content: bytes) -> None:
    """A file that begins as no state file does is foreign, whether its first byte is lower or higher."""
    with pytest.raises(DecodeError) as caught:
        decode_state(content)
    assert "foreign" == caught.value.reason


@pytest.mark.parametrize(
    ("version", "reason"),
    [(b"0", "old"), (b"2", "newer"), (b"999999999", "newer"), (b"9999999999", "damaged"), (b"-1", "damaged")],
)
def test_other_versions_are_refused(version: bytes, reason: str) -> None:
    """The error for a file of another version states that version, whatever its checksum covers."""
    content = encode_state(saved(), clean=True).replace(b" 1 ", b" " + version + b" ", 1)
    with pytest.raises(DecodeError) as caught:
        decode_state(content)
    assert reason == caught.value.reason


def test_a_right_checksum_is_not_enough() -> None:
    """Content of another shape is damaged, even if its checksum is correct."""
    payload = msgspec.msgpack.encode({"saved_at": "yesterday"})
    head = b"celery-redis-exporter-state 1 clean %d " % len(payload)
    digest = sha256(head + payload).hexdigest().encode()
    with pytest.raises(DecodeError) as caught:
        decode_state(head + digest + b"\n" + payload)
    assert "damaged" == caught.value.reason


@pytest.mark.parametrize("odd", [SavedSeries(("\ud800", "q"), 1), SavedSeries(("t", "q"), 2**70)], ids=["text", "int"])
def test_what_msgpack_can_not_express_costs_itself_only(odd: SavedSeries) -> None:
    """Half a surrogate pair, or a number of 71 bits, affects its own series and no other."""
    assert saved() == decode_state(encode_state(saved(odd), clean=True)).state


def test_files_without_native_histograms_are_read() -> None:
    """A file from before native histograms has none, and all its other content is read."""
    content = msgspec.to_builtins(saved())
    rows = [row[:6] for row in content["histograms"].popitem()[1]]
    content["histograms"] = {"celery_task_wait_seconds": rows}
    payload = msgspec.msgpack.encode(content)
    head = b"celery-redis-exporter-state 1 clean %d " % len(payload)
    read = decode_state(head + sha256(head + payload).hexdigest().encode() + b"\n" + payload).state
    assert [6, 6] == [len(row) for row in rows]
    assert [None, None] == [row.parts for row in read.histograms["celery_task_wait_seconds"]]
    assert saved().scalars == read.scalars


def test_numbers_are_kept_as_they_are() -> None:
    """Infinity, halves and whole numbers are unchanged after a restart."""
    rows = [SavedSeries((str(value), "q"), value) for value in (float("inf"), 0.1, 1e300, 2**53 + 1, -0.0)]
    assert saved(*rows) == decode_state(encode_state(saved(*rows), clean=True)).state
