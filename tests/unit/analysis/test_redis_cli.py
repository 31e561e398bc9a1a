# SPDX-License-Identifier: Apache-2.0
"""Command lines of redis-cli: the server and database that they connect to, and secrets that they never contain."""

import pytest

from celery_redis_exporter.analysis.redis_cli import RedisCli, redis_cli_of
from celery_redis_exporter.settings import load


def cli_of(url: str, *flags: str, address: tuple[str, int] | None = None) -> RedisCli:
    """Return the redis-cli that connects to the broker."""
    settings = load(["--broker-url", url, *flags], {})
    return redis_cli_of(settings.redis_targets[0], settings.secrets, address)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("redis://h:7000/0", "redis-cli -h h -p 7000 -n 3 PING"),
        ("redis:///1", "redis-cli -h localhost -p 6379 -n 3 PING"),
        ("redis://127.0.0.1/1", "redis-cli -h 127.0.0.1 -p 6379 -n 3 PING"),
        ("redis://[::1]:7000/1", "redis-cli -h ::1 -p 7000 -n 3 PING"),
        ("rediss://:SECRET@h/1", "redis-cli -h h -p 6379 --tls -n 3 PING"),
        ("rediss://h/1?ssl_cert_reqs=none", "redis-cli -h h -p 6379 --tls --insecure -n 3 PING"),
        ("rediss://h/1?ssl_ca_certs=/a%20b.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_password=SECRET",
         "redis-cli -h h -p 6379 --tls --cacert '/a b.pem' --cert /c.pem --key /k.pem -n 3 PING"),
        ("redis://reader:SECRET@h/0", "redis-cli -h h -p 6379 --user reader -n 3 PING"),
        ("redis://default:SECRET@h/0", "redis-cli -h h -p 6379 -n 3 PING"),
        ("redis://SECRET@h/0", "redis-cli -h h -p 6379 --user USER -n 3 PING"),
        ("unix:///run/my%20redis.sock?db=1", "redis-cli -s '/run/my redis.sock' -n 3 PING"),
    ],
)  # fmt: skip
def test_a_line_reaches_the_server_of_the_url(url: str, line: str) -> None:
    """The line contains host and port or socket, TLS, user and database, quoted for a shell, and no secret."""
    found = cli_of(url)
    assert line == found.line(3, "PING")
    assert "SECRET" not in repr(found)


def test_behind_sentinels_the_line_reaches_the_master() -> None:
    """The master's address replaces that of the URL, which is a sentinel's."""
    found = cli_of(
        "sentinel://:SECRET@s1:26379/0", "--broker-transport-options.master-name=m", address=("10.0.0.7", 6380)
    )
    assert "redis-cli -h 10.0.0.7 -p 6380 -n 0 PING" == found.line(0, "PING")
    assert found.has_password


@pytest.mark.parametrize(
    ("url", "expected"),
    [("redis://h", False), ("redis://:SECRET@h", True), ("redis://reader:SECRET@h", True), ("unix:///a.sock", False)],
)
def test_a_password_is_known_to_be_needed(url: str, expected: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """The advice can state how to pass a password to redis-cli, because it is known whether one is needed."""
    assert expected == cli_of(url).has_password
