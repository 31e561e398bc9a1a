# SPDX-License-Identifier: Apache-2.0
"""kombu's connections: supported transports, and the reasons of their errors."""

import ssl

import amqp
import pytest
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.sources.kombu_link import KombuAddress, KombuEndpoint, _amqp_tls, is_missing, source_error


@pytest.mark.parametrize(
    ("error", "connecting", "reason"),
    [
        (amqp.AccessRefused("Login was refused"), True, "auth"),
        (amqp.AccessRefused("access to exchange refused"), False, "noperm"),
        (amqp.NotAllowed("vhost not found"), True, "noperm"),
        (amqp.NotFound("no exchange"), False, "protocol"),
        (amqp.PreconditionFailed("inequivalent arg"), False, "protocol"),
        (amqp.ConnectionForced("broker forced connection closure"), False, "closed"),
        (amqp.RecoverableConnectionError("already closed"), False, "closed"),
        (ConnectionRefusedError(), True, "refused"),
        (TimeoutError(), True, "timeout"),
        (ssl.SSLError("wrong version number"), True, "tls"),
        (OSError("Server unexpectedly closed connection"), False, "closed"),
    ],
)
def test_errors_have_reasons(error: Exception, connecting: bool, reason: str) -> None:  # noqa: FBT001 -- a case
    """Each client error has one of the reasons in the catalogue, and a text."""
    found = source_error(error, connecting=connecting)
    assert reason == found.reason
    assert str(found)


def test_what_is_missing_is_told_apart() -> None:
    """A missing queue is recognized by its code, which kombu's own transports write as text."""
    assert is_missing(amqp.NotFound("no queue"))
    assert is_missing(ChannelError("NOT_FOUND", (50, 10), "Channel.queue_declare", "404"))
    assert not is_missing(amqp.AccessRefused("no"))


def test_transports_without_fanout_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transport without fanout for events, or whose library is missing, is a configuration error."""
    monkeypatch.setitem(TRANSPORT_ALIASES, "memory", "kombu.transport.virtual:Transport")
    monkeypatch.setitem(TRANSPORT_ALIASES, "qpid", "missing_library:Transport")
    with pytest.raises(ConfigError, match="carries no events to several consumers"):
        KombuEndpoint(KombuAddress(["memory://"]), timeout=1)
    with pytest.raises(ConfigError, match="needs a library for qpid"):
        KombuEndpoint(KombuAddress(["qpid://h"]), timeout=1)


def test_certificates_are_verified() -> None:
    """By default certificates and their names are verified; without verification no name is checked."""
    url = "amqps://u:p@rabbit.example:5671//"
    assert {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "rabbit.example"} == _amqp_tls({}, url)
    named = {"ssl_ca_certs": "/ca", "ssl_check_hostname": "false"}
    assert {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": "/ca"} == _amqp_tls(named, url)
    assert {"cert_reqs": ssl.CERT_NONE} == _amqp_tls({"ssl_cert_reqs": "none"}, url)
