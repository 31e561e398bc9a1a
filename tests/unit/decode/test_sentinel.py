# SPDX-License-Identifier: Apache-2.0
"""Decoding of replies that a sentinel of Redis 7.0 sent."""

from typing import Any

from celery_redis_exporter.catalog import sentinel as rows
from celery_redis_exporter.decode import sentinel as decode
from celery_redis_exporter.records.samples import Sample

INFO = (
    b"# Sentinel\r\nsentinel_masters:1\r\nsentinel_tilt:0\r\nsentinel_tilt_since_seconds:-1\r\n"
    b"sentinel_running_scripts:0\r\nsentinel_scripts_queue_length:0\r\nsentinel_simulate_failure_flags:0\r\n"
    b"master0:name=orders,status=sdown,address=127.0.0.1:27900,slaves=1,sentinels=3\r\n"
)
MASTER = (
    "name orders ip 127.0.0.1 port 27900 flags master last-ok-ping-reply 515 down-after-milliseconds 500 "
    "config-epoch 4 num-slaves 1 num-other-sentinels 0 quorum 2 failover-timeout 180000 parallel-syncs 1"
)
LABELS = ("broker/s", "orders", "127.0.0.1:27900")


def flat(text: str) -> list[Any]:
    """Return an entry in the form of RESP2."""
    return [word.encode() for word in text.split()]


def test_info() -> None:
    """INFO describes the sentinel and, in one line each, its masters."""
    found = {(sample.metric.name, sample.labels): sample.value for sample in decode.decode_sentinel_info("s", INFO)}
    labels = ("s", *LABELS[1:])
    assert found == {
        ("redis_sentinel_masters", ("s",)): 1, ("redis_sentinel_tilt", ("s",)): 0,
        ("redis_sentinel_running_scripts", ("s",)): 0, ("redis_sentinel_scripts_queue_length", ("s",)): 0,
        ("redis_sentinel_simulate_failure_flags", ("s",)): 0,
        ("redis_sentinel_master_status", (*labels, "sdown")): 0,
        ("redis_sentinel_master_slaves", labels): 1, ("redis_sentinel_master_sentinels", labels): 3,
    }  # fmt: skip


def test_a_master_that_most_sentinels_call_down() -> None:
    """Only the status ok is 1."""
    info = INFO.replace(b"status=sdown", b"status=odown")
    found = {sample.labels[-1]: sample.value for sample in decode.decode_sentinel_info("s", info)}
    assert 0 == found["odown"]


def test_masters() -> None:
    """A master's settings have the units of redis_exporter: milliseconds, except for the last reply."""
    (master,) = decode.decode_masters([flat(MASTER), flat("name nameless"), b"junk"])
    found = {sample.metric.name.removeprefix("redis_sentinel_master_"): sample for sample in
             decode.decode_master(LABELS[0], master)}  # fmt: skip
    assert {LABELS} == {sample.labels for sample in found.values()}
    assert {name: sample.value for name, sample in found.items()} == {
        "setting_ckquorum": 2, "setting_failover_timeout": 180_000, "setting_parallel_syncs": 1,
        "setting_down_after_milliseconds": 500, "config_epoch": 4, "last_ok_ping_reply_seconds": 0.515,
    }  # fmt: skip


def test_quorum() -> None:
    """A quorum that can be reached is 1, one that can't is 0, and any other error yields no value."""
    (master,) = decode.decode_masters([flat(MASTER)])
    assert [Sample(rows.CKQUORUM_STATUS, ("s", "orders", "OK 3"), 1)] == decode.decode_quorum("s", master, b"OK 3", "")
    no = "NOQUORUM 1 usable Sentinels."
    assert [Sample(rows.CKQUORUM_STATUS, ("s", "orders", no), 0)] == decode.decode_quorum("s", master, None, no)
    assert [] == decode.decode_quorum("s", master, None, "NOPERM x")


def test_peers() -> None:
    """Unreachable sentinels and replicas are not counted, the queried sentinel is; a refusal counts nothing."""
    (master,) = decode.decode_masters([flat(MASTER)])
    entries = [flat("name a flags sentinel"), flat("name b flags sentinel,s_down"), flat("name c")]
    found = decode.decode_peers(LABELS[0], master, entries, [flat("name d flags slave,o_down")])
    assert [Sample(rows.OK_SENTINELS, LABELS, 2), Sample(rows.OK_SLAVES, LABELS, 0)] == found
    assert [] == decode.decode_peers(LABELS[0], master, None, None)
