# SPDX-License-Identifier: Apache-2.0
"""The envelope of events on Redis: whatever the order of its keys, the decoded body is the one that was sent."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celery_redis_exporter.decode import envelope
from celery_redis_exporter.decode.envelope import open_envelope
from celery_redis_exporter.errors import DecodeError

BODY = b'{"type": "worker-online", "hostname": "a@b"}'


def written(body: str, **changed: object) -> bytes:
    """Return an envelope with its keys in kombu's order, some of them with other values."""
    keys = {"body": body, "content-encoding": "utf-8", "content-type": "application/json", "headers": {}}
    return json.dumps({**keys, "properties": {"body_encoding": "base64"}, **changed}).encode()


@given(st.binary(max_size=200))
def test_any_body_is_read_back(body: bytes) -> None:
    """Every body is returned unchanged, whether the envelope has its usual form or its keys in another order."""
    encoded = base64.b64encode(body).decode()
    usual = written(encoded)
    assert (body, "application/json") == open_envelope(usual)
    turned = json.dumps(dict(reversed(json.loads(usual).items()))).encode()
    assert (body, "application/json") == open_envelope(turned)


@pytest.mark.parametrize("key", ["aaaa", "zzzz"])
def test_another_key_that_is_like_a_body(key: str) -> None:
    """Text in base64 under another first key is not the body, even if what follows it is what follows a body."""
    tail = {"content-encoding": "utf-8", "content-type": "application/json"}
    payload = {key: base64.b64encode(b"no").decode(), **tail, "body": base64.b64encode(BODY).decode()}
    assert (BODY, "application/json") == open_envelope(json.dumps(payload).encode())


def test_the_usual_envelope_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual envelope of a JSON body is decoded without parsing it as JSON."""
    monkeypatch.setattr(envelope, "_decode_envelope", None)
    assert (BODY, "application/json") == open_envelope(written(base64.b64encode(BODY).decode()))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (written(base64.b64encode(b"\x90").decode(), **{"content-type": "application/x-msgpack"}), b"\x90"),
        (written(base64.b64encode(BODY).decode().replace("/", "\\/")), BODY),
        (written(BODY.decode()), BODY),
        (written("[1]"), b"[1]"),
        (written("eyJhIjog MX0="), b"eyJhIjog MX0="),
        (written("abc"), b"abc"),
        (written("a\nb"), b"a\nb"),
        (b'{"body":"e30="}', b"{}"),
        (b' {"body" : "e30=", "content-encoding": "utf-8", "content-type": "application/json"}', b"{}"),
    ],
    ids=["msgpack", "escaped", "text", "list as text", "with a space", "too short", "line break", "compact", "spaced"],
)
def test_an_unusual_envelope_is_parsed(payload: bytes, expected: bytes) -> None:
    """Bodies that are text, or whose base64 is written otherwise, are decoded as a JSON parser reads them."""
    assert expected == open_envelope(payload)[0]


@pytest.mark.parametrize("payload", [b"", b"{", b'{"body": "', b'{"body": "e30="', b'{"body": 1}', b"[]", b"\xff"])
def test_what_is_no_envelope_is_refused(payload: bytes) -> None:
    """Any other payload is refused as no kombu message."""
    with pytest.raises(DecodeError, match="not a kombu message") as caught:
        open_envelope(payload)
    assert caught.value.reason == "envelope"
