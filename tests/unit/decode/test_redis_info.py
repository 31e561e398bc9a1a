# SPDX-License-Identifier: Apache-2.0
"""Conversion of INFO to samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.catalog import redis_keyspace
from celery_redis_exporter.catalog import redis_server as rows
from celery_redis_exporter.decode import redis_info
from celery_redis_exporter.decode.redis_fields import read_number
from celery_redis_exporter.records.samples import Quantiles, Reading, Sample

NOW = 1_900_000_000.5
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
cmdstat_keys:calls=1,usec=9,usec_per_call=9.00,rejected_calls=0,failed_calls=0,slowlog_count=1,slowlog_time_ms_sum=7,\
slowlog_time_ms_max=7\r
# Latencystats\r
latency_percentiles_usec_config|get:p50=2.007,p99=28.031,p99.9=28.031\r
latency_percentiles_usec_unknown:p50=1.003\r
# Errorstats\r
errorstat_NOPERM:count=7\r
# Keyspace\r
db0:keys=5,expires=2,avg_ttl=1500,subexpiry=9\r
db12:keys=1,expires=0,avg_ttl=0\r
a line without colon\r
"""


def by_name(samples: list[Sample]) -> dict[tuple[str, ...], Reading]:
    """Return the samples by metric name and labels."""
    return {(sample.metric.name, *sample.labels): sample.value for sample in samples}


def decode_info(redis: str, text: bytes) -> list[Sample]:
    """Return the samples of INFO, with database 0 as the one in use."""
    return redis_info.decode_info(redis, text, (0,), NOW).samples


FOUND = by_name(decode_info("broker", INFO))


def test_usage() -> None:
    """The usage of a command is its calls and microseconds; a command without whole numbers has no usage."""
    text = (
        b"cmdstat_get:calls=1,usec=2\r\ncmdstat_config|get:calls=3,usec=9,usec_per_call=3.00\r\n"
        b"cmdstat_a:calls=1\r\ncmdstat_b:calls=-1,usec=2\r\ncmdstat_c:calls=1,usec=1.5\r\ncmdstat_d\r\n"
        b"cmdstat_e:calls=" + b"1" * 20 + b",usec=2\r\n"
    )
    assert {"get": (1, 2), "config|get": (3, 9)} == redis_info.decode_info("r", text, (), NOW).usage


def test_a_command_that_was_not_read_in_whole() -> None:
    """A part of a command's line that is missing or not a number affects its own sample only."""
    found = by_name(decode_info("r", b"cmdstat_get:calls=x,usec=2000000,failed_calls=1\r\ncmdstat_:calls=1\r\n"))
    assert 2 == found["redis_commands_duration_seconds_total", "r", "get"]
    assert 1 == found["redis_commands_failed_calls_total", "r", "get"]
    assert {"get"} == {labels[1] for (name, *labels) in found if name.startswith("redis_commands_")}
    assert ("redis_commands_total", "r", "get") not in found


def test_fields_named_like_a_group() -> None:
    """A field whose name is a field group of the catalogue yields nothing."""
    assert [] == redis_info.decode_info("r", b"db*:3\r\ncmdstat_*:3\r\nslave*:3\r\n", (), NOW).samples[1:]


def test_empty_databases() -> None:
    """Requested databases that INFO leaves out have 0 keys and no mean time to live."""
    text = b"# Keyspace\r\ndb1:keys=5,expires=1,avg_ttl=0\r\ndb11:keys=1,expires=0,avg_ttl=0\r\n"
    found = by_name(redis_info.decode_info("r", text, range(3), NOW).samples)
    assert {"db0": 0, "db1": 5, "db2": 0, "db11": 1} == {
        labels[1]: value for (name, *labels), value in found.items() if name == "redis_db_keys"
    }
    assert {"db0": 0, "db1": 1, "db2": 0, "db11": 0} == {
        labels[1]: value for (name, *labels), value in found.items() if name == "redis_db_keys_expiring"
    }
    assert ("redis_db_avg_ttl_seconds", "r", "db0") not in found


def test_plain_fields() -> None:
    """A numeric field yields its metric, integers as such, in the metric's unit."""
    assert 1_048_576 == FOUND["redis_memory_used_bytes", "broker"]
    assert 1.25 == FOUND["redis_mem_fragmentation_ratio", "broker"]
    assert -1 == FOUND["redis_rdb_last_bgsave_duration_sec", "broker"]
    assert 1.5 == FOUND["redis_cpu_sys_seconds_total", "broker"]
    assert 10_000 == FOUND["redis_config_maxclients", "broker"] == FOUND["redis_max_clients", "broker"]


def test_words() -> None:
    """Status words become 1 and 0."""
    assert 0 == FOUND["redis_rdb_last_bgsave_status", "broker"]
    assert 1 == FOUND["redis_aof_last_write_status", "broker"]
    words = {"ok": 1, "true": 1, "err": 0, "fail": 0, "false": 0}
    for word, value in words.items():
        assert value == by_name(decode_info("r", f"loading:{word}".encode()))["redis_loading_dump_file", "r"]


def test_absent_is_not_zero() -> None:
    """A field that is missing or not a number yields no sample."""
    names = {key[0] for key in FOUND}
    assert "redis_total_system_memory_bytes" not in names
    assert "redis_memory_max_bytes" not in names


def test_labelled_fields() -> None:
    """Commands, errors and databases have their name in a label, as in redis_exporter."""
    assert 2 == FOUND["redis_commands_total", "broker", "config|get"]
    assert 0.003 == FOUND["redis_commands_duration_seconds_total", "broker", "config|get"]
    assert 1 == FOUND["redis_commands_rejected_calls_total", "broker", "config|get"]
    assert 7 == FOUND["redis_errors_total", "broker", "NOPERM"]
    assert 5 == FOUND["redis_db_keys", "broker", "db0"]
    assert 2 == FOUND["redis_db_keys_expiring", "broker", "db0"]
    assert 1.5 == FOUND["redis_db_avg_ttl_seconds", "broker", "db0"]
    assert 1 == FOUND["redis_db_keys", "broker", "db12"]
    assert 1 == FOUND["redis_commands_slowlog_total", "broker", "keys"]
    assert 0.007 == FOUND["redis_commands_slowlog_duration_seconds_total", "broker", "keys"]
    assert 0.007 == FOUND["redis_commands_slowlog_duration_seconds_max", "broker", "keys"]


def test_parts_are_found_by_name() -> None:
    """A part of a database's line keeps its meaning at any position, and under Valkey's name for it."""
    text = b"db0:subexpiry=3,expires=1,keys=7\r\ndb1:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=4\r\n"
    found = by_name(decode_info("r", text + b"db2:keys=1,expires=0,avg_ttl=0,cached_keys=6\r\n"))
    assert 7 == found["redis_db_keys", "r", "db0"]
    assert 3 == found["redis_db_keys_with_expiring_items", "r", "db0"]
    assert 4 == found["redis_db_keys_with_expiring_items", "r", "db1"]
    assert 6 == found["redis_db_keys_cached", "r", "db2"]
    assert 9 == FOUND["redis_db_keys_with_expiring_items", "broker", "db0"]


def test_percentiles() -> None:
    """Percentiles are those of Redis, with the calls and microseconds of the command; without these there are none."""
    expected = Quantiles((("50", 2.007), ("99", 28.031), ("99.9", 28.031)), 2, 3000)
    assert expected == FOUND["redis_latency_percentiles_usec", "broker", "config|get"]
    assert ("redis_latency_percentiles_usec", "broker", "unknown") not in FOUND


def test_what_only_valkey_tells() -> None:
    """Certificates, scripting engines and threads have labels that distinguish them."""
    found = by_name(
        decode_info(
            "r",
            b"tls_server_cert_serial:0A1B\r\ntls_ca_cert_serial:none\r\ntls_server_cert_expires_in_seconds:60\r\n"
            b"engine_0:name=LUA,module=built-in,abi_version=4,used_memory=99,memory_overhead=7\r\n"
            b"used_active_time_io_thread_1:2.5\r\nused_active_time_main_thread:1.5\r\n",
        )
    )
    engine = ("r", "LUA", "built-in", "4")
    assert {
        ("redis_tls_certificate_info", "r", "server", "0A1B"): 1,
        ("redis_tls_certificate_info", "r", "ca", "none"): 1,
        ("redis_tls_server_cert_expires_in_seconds", "r"): 60,
        ("redis_scripting_engine_info", *engine): 1,
        ("redis_scripting_engine_memory_used_bytes", *engine): 99,
        ("redis_scripting_engine_memory_overhead_bytes", *engine): 7,
        ("redis_active_time_io_thread_seconds_total", "r", "1"): 2.5,
        ("redis_active_time_main_thread_seconds_total", "r"): 1.5,
    } == {name: value for name, value in found.items() if "_db_" not in name[0]}


def test_identity() -> None:
    """The server's identity is in labels; a part that it does not report is empty."""
    labels = (
        "broker", "master", "7.0.15", "", "standalone", "", "noeviction", "", "abc", "", "", "", "", "",
    )  # fmt: skip
    assert 1 == FOUND["redis_instance_info", *labels]
    assert 1_799_999_900 == FOUND["redis_start_time_seconds", "broker"]


def test_identity_of_valkey() -> None:
    """Valkey's version is shown beside that of the compatible Redis, its mode by either name, and its zone if set."""
    text = b"redis_version:7.2.4\r\nvalkey_version:8.1.3\r\nvalkey_release_stage:ga\r\nserver_mode:cluster\r\n"
    labels = ["r", "", "7.2.4", "", "cluster", "", "", "", "", "", "", "8.1.3", "ga", ""]
    assert ("redis_instance_info", *labels) in by_name(decode_info("r", text))
    labels[-1] = "eu-1a"
    assert ("redis_instance_info", *labels) in by_name(decode_info("r", text + b"availability_zone:eu-1a\r\n"))


def test_a_server_without_a_clock() -> None:
    """The start time of a server that does not report its time is calculated with the exporter's clock."""
    assert 1_899_999_900 == by_name(decode_info("r", b"uptime_in_seconds:100\r\n"))["redis_start_time_seconds", "r"]


def test_replicas_of_a_master() -> None:
    """The replicas of a master have offset and lag."""
    labels = ("broker", "10.0.0.2", "6380", "online")
    assert 42 == FOUND["redis_connected_slave_offset_bytes", *labels]
    assert 1 == FOUND["redis_connected_slave_lag_seconds", *labels]
    assert "redis_master_link_up" not in {key[0] for key in FOUND}


def test_replica() -> None:
    """A replica reports its link to the master."""
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


def test_several_masters() -> None:
    """Each master of an active replica of KeyDB has its own link."""
    text = (
        b"role:active-replica\r\nmaster_host:a\r\nmaster_port:1\r\nmaster_link_status:up\r\nslave_repl_offset:5\r\n"
        b"master_1_host:b\r\nmaster_1_port:2\r\nmaster_1_link_status:down\r\nmaster_1_last_io_seconds_ago:-1\r\n"
    )
    found = {name: value for name, value in by_name(decode_info("r", text)).items() if "_db_" not in name[0]}
    assert {
        ("redis_master_link_up", "r", "a", "1"): 1, ("redis_slave_repl_offset", "r", "a", "1"): 5,
        ("redis_master_link_up", "r", "b", "2"): 0, ("redis_master_last_io_seconds_ago", "r", "b", "2"): -1,
    } == found  # fmt: skip


def test_every_info_row_can_be_decoded() -> None:
    """Each plain row of the catalogue yields its metric if its field is present."""
    for metric in rows.INFO_ROWS:
        field, part = metric.origin.fieldname, metric.origin.part  # type: ignore[union-attr]  # rows come from INFO
        name = field.replace("*", "0")
        value = f"{part}=3" if part else "3"
        assert metric in {sample.metric for sample in decode_info("r", f"{name}:{value}".encode())}, metric.name


def test_bytes_that_are_no_text() -> None:
    """INFO with bytes that are not UTF-8 is still read."""
    found = by_name(decode_info("r", b"os:\xff\xfe\r\nconnected_clients:3\r\n"))
    assert 3 == found["redis_connected_clients", "r"]


FIELDS = st.sampled_from(
    [
        "used_memory",
        "db0",
        "cmdstat_get",
        "errorstat_ERR",
        "slave0",
        "role",
        "uptime_in_seconds",
        "server_time_usec",
        "latency_percentiles_usec_get",
        "engine_0",
        "master_host",
        "master_link_status",
        "tls_ca_cert_serial",
    ]
)
VALUES = st.text(max_size=20) | st.sampled_from(
    ["slave", "keys=\u00b2", "\u00b2", "calls=1e999", "nan", "=,=", "ip=1,lag=x"]
)


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        (b"rejected_connections:-1", 0),
        (b"rejected_connections:", 0),
        (b"rejected_connections:-7", 1),
        (b"connected_clients:18446744073709551615", 1),
        (b"used_memory:nan", 1),
        (b"mem_fragmentation_ratio:-nan", 1),
        (b"used_memory:1e999", 1),
        (b"used_memory:" + b"9" * 4000, 1),
        (b"evicted_keys:many", 1),
        (b"db0:keys=1,expires=-7,avg_ttl=3400000000000", 2),
        (b"errorstat_ERR:count=-9", 1),
        (b"cmdstat_get:calls=nan,usec=5", 1),
        (b"role:slave\r\nmaster_host:a\r\nmaster_port:1\r\nslave_repl_offset:-9", 1),
    ],
)
def test_values_that_are_none(line: bytes, refused: int) -> None:
    """A value that is no number, negative or too large yields no sample and is counted; -1 means no value."""
    reading = redis_info.decode_info("r", b"# Stats\r\nx:1\r\n" + line + b"\r\n", (), NOW)
    assert refused == reading.refused
    values = [sample.value for sample in reading.samples]
    assert all(isinstance(value, int | float) and 0 <= value < 2**62 for value in values)


def test_values_that_may_be_below_zero() -> None:
    """Differences may be negative, and so may the durations that redis_exporter exports as -1."""
    found = by_name(decode_info("r", b"mem_fragmentation_bytes:-5\r\nrdb_last_bgsave_time_sec:-1\r\n"))
    assert (-5, -1) == (found["redis_mem_fragmentation_bytes", "r"], found["redis_rdb_last_bgsave_duration_sec", "r"])


def test_keys_by_size_and_by_number_of_items() -> None:
    """Redis 8 counts keys by powers of two: of bytes for strings, of elements for other types, with K, M and G."""
    text = b"# Keysizes\r\ndb0_distrib_strings_sizes:1=2,4K=7\r\ndb3_distrib_lists_items:2=5,16M=1\r\n"
    found = {
        (sample.metric, *sample.labels): sample.value
        for sample in decode_info("r", text)
        if sample.metric in {redis_keyspace.KEYS_BY_SIZE, redis_keyspace.KEYS_BY_ITEMS}
    }
    sizes, items = redis_keyspace.KEYS_BY_SIZE, redis_keyspace.KEYS_BY_ITEMS
    assert {
        (sizes, "r", "db0", "strings", "1"): 2,
        (sizes, "r", "db0", "strings", "4096"): 7,
        (items, "r", "db3", "lists", "2"): 5,
        (items, "r", "db3", "lists", "16777216"): 1,
    } == found


def test_numbers_of_very_many_digits() -> None:
    """A number of 19 digits is exact, and a longer one is a floating-point number."""
    exact, longer = read_number("9" * 19), read_number("9" * 20)
    assert (int("9" * 19), int) == (exact, type(exact))
    assert (1e20, float) == (longer, type(longer))


def test_long_texts_are_cut() -> None:
    """A version of a megabyte and a long error name are cut to the length of a label."""
    megabyte = b"9" * 1_000_000
    text = b"redis_version:%b\r\nerrorstat_%b:count=1\r\nerrorstat_%b:count=2\r\n"
    samples = decode_info("r", text % (megabyte, megabyte, b"E" * 300))
    assert 200 == max(len(label) for sample in samples for label in sample.labels)
    assert 2 == by_name(samples)["redis_errors_total", "r", "E" * 200]


@pytest.mark.parametrize(
    ("header", "expected"), [(b"# Keyspace\r\n", 0), (b"# KEYSPACE\r\n", 0), (b"# Stats\r\n", None)]
)
def test_no_keys_are_not_unknown_keys(header: bytes, expected: int | None) -> None:
    """A database that INFO leaves out is empty only if INFO has a section of keys; Garnet and Pika have none."""
    assert expected == by_name(decode_info("r", b"redis_version:7.0.0\r\n" + header)).get(("redis_db_keys", "r", "db0"))


@given(st.dictionaries(FIELDS, VALUES), st.binary(max_size=100))
def test_any_info(fields: dict[str, str], text: bytes) -> None:
    """Any INFO yields samples with numbers, or none, and raises no exception."""
    lines = "\r\n".join(f"{name}:{value}" for name, value in fields.items()).encode("utf-8", "replace")
    for given_text in (lines, text):
        for sample in decode_info("r", given_text):
            assert isinstance(sample.value, int | float | Quantiles)
            assert len(sample.metric.labels) == len(sample.labels)
