# SPDX-License-Identifier: Apache-2.0
"""Broker URLs: the broker, the URLs for kombu, errors, and the redacted form."""

import pytest

from celery_redis_exporter.settings.urls.broker_urls import KombuTarget, parse_broker_url, parse_result_url
from celery_redis_exporter.settings.urls.urls import RedisTarget


@pytest.mark.parametrize(
    ("written", "urls", "redacted"),
    [
        ("amqp://", ("amqp://localhost:5672",), "amqp://localhost:5672"),
        ("amqp://u:p%40@h//", ("amqp://u:p%40@h:5672//",), "amqp://***@h:5672//"),
        ("amqps://u:p@h/v", ("amqps://u:p@h:5671/v",), "amqps://***@h:5671/v"),
        ("pyamqp://[::1]:7/v", ("pyamqp://[::1]:7/v",), "pyamqp://[::1]:7/v"),
        ("AMQP://u:p@h", ("amqp://u:p@h:5672",), "amqp://***@h:5672"),
        (
            "amqp://u:p@a//;amqp://u:p@b//",
            ("amqp://u:p@a:5672//", "amqp://u:p@b:5672//"),
            "amqp://***@a:5672//;amqp://***@b:5672//",
        ),
        ("filesystem://", ("filesystem://",), "filesystem://"),
    ],
)
def test_kombu_is_given_what_celery_would(written: str, urls: tuple[str, ...], redacted: str) -> None:
    """Every way to write a broker for kombu yields its URLs, and a form for display without user and password."""
    target = parse_broker_url(written)
    assert isinstance(target, KombuTarget)
    assert (urls, redacted) == (target.urls, target.redacted)
    assert "p%40" not in repr(target)


def test_tls_and_login_of_rabbitmq() -> None:
    """TLS options in the URL are accepted under redis-py's names, those of Celery's connections are left out."""
    target = parse_broker_url("amqps://h//?ssl_ca_certs=/ca&ssl_cert_reqs=CERT_NONE&login_method=external&heartbeat=9")
    assert isinstance(target, KombuTarget)
    assert {"ssl_ca_certs": "/ca", "ssl_cert_reqs": "none"} == target.tls
    assert ("EXTERNAL", ("heartbeat",), ("amqps://h:5671//",)) == (target.login_method, target.ignored, target.urls)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("sqs://SECRET", "sqs:// carries no events"),
        ("memory://", "memory:// carries no events"),
        ("ampq://SECRET@h", "did you mean amqp?"),
        ("nonsense://SECRET@h", "nonsense:// is not supported"),
        ("amqp://h:SECRET", "no valid host and port"),
        ("amqp://:SEC#RET@h", "write it as %23"),
        ("amqp://a;redis://:SECRET@b", "must be amqp:// URLs only"),
        ("amqps://h?ssl_ca_cert=SECRET", "did you mean ssl_ca_certs?"),
        ("amqps://h?login_method=SECRET", "login_method that is not PLAIN or AMQPLAIN or EXTERNAL"),
        ("amqps://h?ssl_min_version=SECRET", "unknown query parameter"),
        ("amqp://h?ssl_ca_certs=/ca", "needs amqps://"),
    ],
)
def test_a_refusal_names_the_cure_and_no_secret(written: str, message: str) -> None:
    """A URL that can't be used is refused with a solution that repeats no secret."""
    with pytest.raises(ValueError, match=message.replace("?", r"\?")) as caught:
        parse_broker_url(written)
    assert "SEC" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "addresses", "url", "redacted"),
    [
        (
            "sentinel://a:1;sentinel://b;sentinel://c:3/0",
            (("a", 1), ("b", 26379), ("c", 3)),
            "redis://a:1/0",
            "sentinel://a:1;sentinel://b:26379;sentinel://c:3/0",
        ),
        (
            "sentinel://u:pw@a/2;sentinel://b/9",
            (("a", 26379), ("b", 26379)),
            "redis://u:pw@a:26379/2",
            "sentinel://***@a:26379;sentinel://b:26379/2",
        ),
        (
            "sentinel://:pw@[::1]/1?ssl_cert_reqs=none",
            (("::1", 26379),),
            "rediss://:pw@[::1]:26379/1?ssl_cert_reqs=none",
            "sentinel://***@[::1]:26379/1",
        ),
    ],
)
def test_sentinels_are_a_list(written: str, addresses: tuple[tuple[str, int], ...], url: str, redacted: str) -> None:
    """Each of several sentinels has its address; database, user, password and TLS are those of the first URL."""
    target = parse_broker_url(written)
    assert isinstance(target, RedisTarget)
    assert (addresses, url, redacted) == (target.sentinels, target.url, target.redacted)
    assert target == parse_result_url("broker", written)


@pytest.mark.parametrize("written", ["sentinel://a;redis://b", "sentinel://h:0/0", "sentinel://h/x"])
def test_broken_lists_of_sentinels_are_refused(written: str) -> None:
    """A list with anything else in it, or with a broken address, is refused."""
    with pytest.raises(ValueError, match=r"must be a list|no valid host|not a number"):
        parse_broker_url(written)


def test_the_order_of_sentinels_makes_no_other_server() -> None:
    """Two lists of the same sentinels are one server."""
    first, second = (
        parse_result_url("x", url) for url in ("sentinel://a;sentinel://b/0", "sentinel://b;sentinel://a/5")
    )
    assert first.server_key == second.server_key
