"""Redis's replies as samples."""

from hypothesis import given
from hypothesis import strategies as st

from exporter.catalog import redis_server as rows
from exporter.decode.redis_server import (
    InfoDecoder,
    decode_cluster_info,
    decode_latency_latest,
    decode_output_buffer,
    decode_slowlog,
)
from exporter.records import Sample

INFO = b"""# Server\r
redis_version:7.0.15\r
redis_mode:standalone\r
run_id:abc\r
server_time_usec:1800000000500000\r
uptime_in_seconds:100\r
\r
# Clients\r
connected_clients:3\r
maxclients:10000\r
# Memory\r
used_memory:1048576\r
mem_fragmentation_ratio:1.25\r
maxmemory_policy:noeviction\r
total_system_memory:not-a-number\r
# Persistence\r
rdb_last_bgsave_status:err\r
aof_last_write_status:ok\r
rdb_last_bgsave_time_sec:-1\r
# Replication\r
role:master\r
connected_slaves:1\r
slave0:ip=10.0.0.2,port=6380,state=online,offset=42,lag=1\r
# CPU\r
used_cpu_sys:1.500000\r
# Commandstats\r
cmdstat_config|get:calls=2,usec=3000,usec_per_call=1500.00,rejected_calls=1,failed_calls=0\r
# Errorstats\r
errorstat_NOPERM:count=7\r
# Keyspace\r
db0:keys=5,expires=2,avg_ttl=1500,subexpiry=9\r
db12:keys=1,expires=0,avg_ttl=0\r
a line without colon\r
"""


def by_name(samples: list[Sample]) -> dict[tuple[str, ...], float]:
    """Samples by metric name and labels."""
    return {(sample.metric.name, *sample.labels): sample.value for sample in samples}


def decode_info(redis: str, text: bytes) -> list[Sample]:
    """What a first read of INFO gives; database 0 is the one in use."""
    return InfoDecoder(redis).decode(text, 0)


FOUND = by_name(decode_info("broker", INFO))


def test_second_read() -> None:
    """What has changed since the last read is told anew, what has not is told again, and what is gone is not."""
    decoder = InfoDecoder("broker")
    decoder.decode(b"connected_clients:3\r\nuptime_in_seconds:8\r\nmaxclients:10\r\n", 0)
    found = by_name(decoder.decode(b"connected_clients:4\r\nmaxclients:10\r\n", 0))
    assert 4 == found["redis_connected_clients", "broker"]
    assert 10 == found["redis_config_maxclients", "broker"]
    assert ("redis_uptime_in_seconds", "broker") not in found


def test_empty_database() -> None:
    """The database in use is shown with 0 keys when INFO leaves it out, and as it is otherwise."""
    assert 0 == by_name(InfoDecoder("r").decode(b"db1:keys=5,expires=0,avg_ttl=0\r\n", 0))["redis_db_keys", "r", "db0"]
    assert 5 == by_name(InfoDecoder("r").decode(b"db1:keys=5,expires=0,avg_ttl=0\r\n", 1))["redis_db_keys", "r", "db1"]


def test_plain_fields() -> None:
    """A numeric field gives its metric, integers as such, in the metric's unit."""
    assert 1_048_576 == FOUND["redis_memory_used_bytes", "broker"]
    assert 1.25 == FOUND["redis_mem_fragmentation_ratio", "broker"]
    assert -1 == FOUND["redis_rdb_last_bgsave_duration_sec", "broker"]
    assert 1.5 == FOUND["redis_cpu_sys_seconds_total", "broker"]
    assert 10_000 == FOUND["redis_config_maxclients", "broker"] == FOUND["redis_max_clients", "broker"]


def test_words() -> None:
    """Status words become 1 and 0."""
    assert 0 == FOUND["redis_rdb_last_bgsave_status", "broker"]
    assert 1 == FOUND["redis_aof_last_write_status", "broker"]


def test_absent_is_not_zero() -> None:
    """A field that is missing or no number gives no sample."""
    names = {key[0] for key in FOUND}
    assert "redis_total_system_memory_bytes" not in names
    assert "redis_memory_max_bytes" not in names


def test_labelled_fields() -> None:
    """Commands, errors and databases carry their name in a label, as redis_exporter writes it."""
    assert 2 == FOUND["redis_commands_total", "broker", "config|get"]
    assert 0.003 == FOUND["redis_commands_duration_seconds_total", "broker", "config|get"]
    assert 1 == FOUND["redis_commands_rejected_calls_total", "broker", "config|get"]
    assert 7 == FOUND["redis_errors_total", "broker", "NOPERM"]
    assert 5 == FOUND["redis_db_keys", "broker", "db0"]
    assert 2 == FOUND["redis_db_keys_expiring", "broker", "db0"]
    assert 1.5 == FOUND["redis_db_avg_ttl_seconds", "broker", "db0"]
    assert 1 == FOUND["redis_db_keys", "broker", "db12"]


def test_identity() -> None:
    """The server's identity is in labels; what it does not tell is empty."""
    labels = (
        "broker", "master", "7.0.15", "", "standalone", "", "noeviction", "", "abc", "", "",
    )  # fmt: skip
    assert 1 == FOUND["redis_instance_info", *labels]
    assert 1_799_999_900 == FOUND["redis_start_time_seconds", "broker"]


def test_replicas_of_a_master() -> None:
    """A master's replicas give offset and lag."""
    labels = ("broker", "10.0.0.2", "6380", "online")
    assert 42 == FOUND["redis_connected_slave_offset_bytes", *labels]
    assert 1 == FOUND["redis_connected_slave_lag_seconds", *labels]
    assert "redis_master_link_up" not in {key[0] for key in FOUND}


def test_replica() -> None:
    """A replica tells of its link to the master."""
    info = (
        b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n"
        b"master_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:1\r\nslave_repl_offset:9\r\nslave_read_only:1\r\n"
    )
    found = by_name(decode_info("broker", info))
    master = ("broker", "10.0.0.1", "6379")
    assert 1 == found["redis_slave_info", *master, "1"]
    assert 0 == found["redis_master_link_up", *master]
    assert -1 == found["redis_master_last_io_seconds_ago", *master]
    assert 1 == found["redis_master_sync_in_progress", *master]
    assert 9 == found["redis_slave_repl_offset", *master]


def test_cluster() -> None:
    """CLUSTER INFO gives its state as a number."""
    text = b"cluster_state:fail\r\ncluster_slots_fail:3\r\ncluster_size:2\r\nother:1\r\n"
    found = by_name(decode_cluster_info("broker", text))
    assert {
        ("redis_cluster_state", "broker"): 0, ("redis_cluster_slots_fail", "broker"): 3,
        ("redis_cluster_size", "broker"): 2,
    } == found  # fmt: skip


def test_slow_log() -> None:
    """The newest entry of the slow log gives its id and its duration in seconds; an empty log gives zeros."""
    entry = [14, 1_800_000_000, 12_000, [b"KEYS", b"*"], b"127.0.0.1:1", b""]
    found = by_name(decode_slowlog("broker", 15, [entry]))
    assert {
        ("redis_slowlog_length", "broker"): 15, ("redis_slowlog_last_id", "broker"): 14,
        ("redis_last_slow_execution_duration_seconds", "broker"): 0.012,
    } == found  # fmt: skip
    assert [0, 0, 0] == list(by_name(decode_slowlog("broker", 0, [])).values())
    assert [] == decode_slowlog("broker", RuntimeError("refused"), RuntimeError("refused"))


def test_latency() -> None:
    """The latest spikes give their time and their length in seconds; a refused command gives nothing."""
    found = by_name(decode_latency_latest("broker", [[b"fork", 1_800_000_000, 250, 900], b"odd"]))
    assert {
        ("redis_latency_spike_last", "broker", "fork"): 1_800_000_000,
        ("redis_latency_spike_duration_seconds", "broker", "fork"): 0.25,
    } == found
    assert [] == decode_latency_latest("broker", RuntimeError("refused"))


def test_output_buffer() -> None:
    """The backlog is the client's omem; a client that is gone has none."""
    assert 20_504 == decode_output_buffer(b"id=7 addr=1:2 qbuf=0 oll=1 omem=20504 tot-mem=42 cmd=psubscribe\n")
    assert decode_output_buffer(b"") is None
    assert decode_output_buffer(RuntimeError("refused")) is None


def test_every_info_row_can_be_decoded() -> None:
    """Each plain row of the catalogue gives its metric when its field is there."""
    for metric in rows.INFO_ROWS:
        field, part = metric.origin.fieldname, metric.origin.part  # type: ignore[union-attr]  # rows come from INFO
        name = field.replace("*", "0") if field.startswith("db") else field.replace("*", "x")
        value = f"{part}=3" if part else "3"
        assert metric in {sample.metric for sample in decode_info("r", f"{name}:{value}".encode())}, metric.name


def test_bytes_that_are_no_text() -> None:
    """INFO with bytes that are no UTF-8 is read all the same."""
    found = by_name(decode_info("r", b"os:\xff\xfe\r\nconnected_clients:3\r\n"))
    assert 3 == found["redis_connected_clients", "r"]


FIELDS = st.sampled_from(
    ["used_memory", "db0", "cmdstat_get", "errorstat_ERR", "slave0", "role", "uptime_in_seconds", "server_time_usec"]
)
VALUES = st.text(max_size=20) | st.sampled_from(
    ["slave", "keys=\u00b2", "\u00b2", "calls=1e999", "nan", "=,=", "ip=1,lag=x"]
)


@given(st.dictionaries(FIELDS, VALUES), st.binary(max_size=100))
def test_any_info(fields: dict[str, str], text: bytes) -> None:
    """Whatever INFO says, it gives samples with numbers, or none, and never an exception."""
    lines = "\r\n".join(f"{name}:{value}" for name, value in fields.items()).encode("utf-8", "replace")
    for given_text in (lines, text):
        for sample in decode_info("r", given_text):
            assert isinstance(sample.value, int | float)
            assert len(sample.metric.labels) == len(sample.labels)
