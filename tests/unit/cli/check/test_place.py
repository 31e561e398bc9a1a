# SPDX-License-Identifier: Apache-2.0
"""Command lines for a shell: the server that they connect to, and secrets that they never contain."""

import pytest

from celery_redis_exporter.cli.check.place import Place, place_of
from celery_redis_exporter.settings import load


def place(url: str) -> Place:
    """Return the address of the broker."""
    settings = load(["--broker-url", url], {})
    return place_of(settings.targets[0], settings.secrets)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("redis://h:7000/0", "redis-cli -h h -p 7000 PING"),
        ("rediss://user:SECRET@h/1", "redis-cli -h h -p 6379 --tls PING"),
        ("unix:///run/redis.sock?db=1", "redis-cli -s /run/redis.sock PING"),
        ("sentinel://:SECRET@s1:26379/0;sentinel://s2:26379", "redis-cli -h s1 -p 26379 PING"),
        ("amqp://user:SECRET@rabbit//", "nc -vz rabbit 5672"),
        ("filesystem://", ""),
    ],
)
def test_a_server_is_reached_as_the_settings_say(url: str, line: str) -> None:
    """The command uses the server's host, port, socket and TLS, and contains no password."""
    flags = ["--broker-transport-options.master-name=m"] if url.startswith("sentinel") else []
    settings = load(["--broker-url", url, *flags], {})
    found = place_of(settings.targets[0], settings.secrets)
    assert line == found.probe()
    assert "SECRET" not in repr(found)


def test_rights_are_quoted_and_granted_to_the_user() -> None:
    """The user comes from the URL, special characters are quoted, and old servers get no read-only key permissions."""
    found = place("redis://reader:SECRET@h/0")
    assert "redis-cli -h h -p 6379 ACL SETUSER reader '+slowlog|get' '%R~*'" == found.grant("+slowlog|get %R~*")
    old = found.grant("+llen %R~*") and Place("redis", "", "h", 1, "reader", modern=False).grant("+llen %R~*")
    assert "redis-cli -h h -p 1 ACL SETUSER reader +llen '~*'" == old


def test_a_password_alone_is_the_default_users() -> None:
    """Without a name the user is Redis's default user, and a user name that is itself a token is not shown."""
    assert "default" == place("redis://:SECRET@h/0").user
    assert "USER" == place("redis://TOKEN@h/0").user
