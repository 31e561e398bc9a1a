# SPDX-License-Identifier: Apache-2.0
"""Redis URLs: the accepted forms, errors, and the redacted form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.settings.urls.urls import parse_redis_url, secrets_of


@pytest.mark.parametrize(
    ("written", "url", "db", "server_key"),
    [
        ("redis://", "redis://localhost:6379/0", 0, ("localhost", 6379)),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/0", 0, ("localhost", 6379)),
        ("redis://[::1]:6379/3", "redis://[::1]:6379/3", 3, ("localhost", 6379)),
        ("redis://Cache.Example:7000/2", "redis://cache.example:7000/2", 2, ("cache.example", 7000)),
        ("redis://h/1?db=4", "redis://h:6379/4", 4, ("h", 6379)),
        ("redis://u:p%40ss@h/1", "redis://u:p%40ss@h:6379/1", 1, ("h", 6379)),
        ("redis://:pw@h//1", "redis://:pw@h:6379/1", 1, ("h", 6379)),
        ("redis://h?password=pw", "redis://:pw@h:6379/0", 0, ("h", 6379)),
        ("valkey://cache:6380/2", "redis://cache:6380/2", 2, ("cache", 6380)),
        ("valkeys://cache", "rediss://cache:6379/0", 0, ("cache", 6379)),
        ("redis+socket:///run/r.sock?virtual_host=1", "unix:///run/r.sock?db=1", 1, ("/run/r.sock", 0)),
        ("unix://u:p@/run/r.sock?db=2", "unix://u:p@/run/r.sock?db=2", 2, ("/run/r.sock", 0)),
        (
            "rediss://h:1/0?ssl_cert_reqs=CERT_NONE",
            "rediss://h:1/0?ssl_cert_reqs=none",
            0,
            ("h", 1),
        ),
    ],
)
def test_urls_of_celery_and_redis_py_become_one_form(
    written: str, url: str, db: int, server_key: tuple[str, int]
) -> None:
    """Every way to write a server yields redis-py's form, and a key that is equal for the same server."""
    target = parse_redis_url("broker", written)
    assert (url, db, server_key) == (target.url, target.db, target.server_key)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("amqp://guest:SECRET@h//", "amqp:// is not supported"),
        ("sentinel://:SECRET@h:26379/0", "sentinel:// is not supported"),
        ("sqs://SECRET", "sqs:// is not supported"),
        ("SECRET", "must be a URL such as redis://localhost:6379/0"),
        ("redis://:SECRET@h:0/0", "no valid host and port"),
        ("redis://:SECRET@h:99999/0", "no valid host and port"),
        ("redis://:SEC/RET@h/0", "no valid host and port"),
        ("redis://:SEC?RET@h/0", "no valid host and port"),
        ("redis://:SEC#RET@h/0", "write it as %23"),
        ("redis://:SEC[RET@h/0", "no valid host and port"),
        ("redis://h/SECRET", "database that is not a number"),
        ("redis://h/-1", "database that is not a number"),
        ("redis://a;redis://:SECRET@b", "must be one URL"),
        ("unix://run/r.sock?password=SECRET", "three slashes"),
        ("redis://h/0?pasword=SECRET", "did you mean password?"),
        ("redis://h/0?credential_provider=SECRET", "unknown query parameter"),
        ("rediss://h/0?ssl_cert_reqs=SECRET", "ssl_cert_reqs"),
        ("rediss://h/0?ssl_keyfile=/SECRET", "ssl_keyfile without ssl_certfile"),
    ],
)
def test_a_refusal_names_the_cure_and_no_secret(written: str, message: str) -> None:
    """A URL that can't be used is refused with a solution that repeats no secret."""
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as caught:
        parse_redis_url("broker", written)
    assert "SEC" not in str(caught.value)
    assert "RET" not in str(caught.value)


@given(st.text(min_size=1, max_size=30))
def test_any_text_is_a_target_or_a_value_error(text: str) -> None:
    """Any text after the scheme is accepted or raises ValueError."""
    for scheme in ("redis://", "rediss://", "unix://", "redis+socket://"):
        try:
            target = parse_redis_url("broker", scheme + text)
        except ValueError:
            continue
        assert target == parse_redis_url("broker", scheme + text)
        assert parse_redis_url("broker", target.url).server_key == target.server_key


@pytest.mark.parametrize(
    "url",
    [
        "redis://:SECRET@h/0",
        "redis://SECRET@h/0",
        "redis://user:SECRET@h/0",
        "redis://h/0?password=SECRET",
        "unix:///run/r.sock?password=SECRET",
        "rediss://h/0?ssl_password=SECRET&ssl_certfile=/c&ssl_keyfile=/k",
    ],
)
def test_what_is_shown_holds_no_secret(url: str) -> None:
    """The redacted URL and the repr of a target omit user, password and passwords in the query."""
    target = parse_redis_url("broker", url)
    assert "SECRET" in target.url
    assert "SECRET" not in target.redacted
    assert "SECRET" not in repr(target)
    assert "SECRET" in secrets_of(url)


def test_secrets_come_quoted_and_unquoted() -> None:
    """Each form of a password that a log line could contain is known as a secret, and so is the URL."""
    url = "redis://user:p%40ss@h/0"
    assert {"p%40ss", "p@ss", url} == set(secrets_of(url))
    assert secrets_of("redis://h/0") == ()


def test_parameters_that_would_override_the_exporter_are_left_out() -> None:
    """A timeout of the application's connections is not used for the exporter's, and is named."""
    target = parse_redis_url("broker", "redis://h/0?socket_timeout=60&ssl_cert_reqs=none")
    assert ("socket_timeout",) == target.ignored
    assert "socket_timeout" not in target.url
