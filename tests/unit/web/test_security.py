# SPDX-License-Identifier: Apache-2.0
"""The effects of a web configuration."""

import asyncio

import httpx
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from celery_redis_exporter.records.web_config import RequestLimit, WebConfig
from celery_redis_exporter.web.security import guard, open_tls
from tests.support.fakes import FakeClock

INSIDE = PlainTextResponse("inside", headers={"Content-Security-Policy": "default-src 'none'"})
HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"


def get(app: ASGIApp) -> httpx.Response:
    """Send one request."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            return await client.get("/")

    return asyncio.run(send())


def test_nothing_on_changes_nothing() -> None:
    """Without users and headers the application is served unchanged, and without TLS there is no context."""
    assert INSIDE is guard(INSIDE, WebConfig(), FakeClock())
    assert open_tls(WebConfig(), FakeClock()) is None


def test_headers_are_on_every_answer() -> None:
    """Headers of the file replace those of the application, and a refusal contains them too."""
    headers = {"Content-Security-Policy": "sandbox", "Strict-Transport-Security": "max-age=60"}
    for users, status in (({}, 200), ({"prometheus": HASH}, 401)):
        reply = get(guard(INSIDE, WebConfig(headers=headers, users=users), FakeClock()))
        assert status == reply.status_code
        assert headers.items() <= {
            name: ", ".join(reply.headers.get_list(name)) for name in headers
        }.items()  # fmt: skip


def test_open_paths_ask_for_no_password() -> None:
    """An open path is answered without a password, with the headers of the file; no other path is."""
    config = WebConfig(headers={"Strict-Transport-Security": "max-age=60"}, users={"prometheus": HASH})
    opened, other = (
        get(guard(INSIDE, config, FakeClock(), ["/"])),
        get(guard(INSIDE, config, FakeClock(), ["/-/healthy"])),
    )
    assert ((200, "inside"), 401) == ((opened.status_code, opened.text), other.status_code)
    assert "max-age=60" == opened.headers["strict-transport-security"]


def test_a_rate_limit_answers_429() -> None:
    """After a burst one request is answered per interval, as in the toolkit; the others get 429."""
    clock = FakeClock()
    app = guard(INSIDE, WebConfig(rate_limit=RequestLimit(interval=2.0, burst=3)), clock)
    assert [200, 200, 200, 429, 429] == [get(app).status_code for _ in range(5)]
    clock.advance(2.0)
    assert [200, 429] == [get(app).status_code for _ in range(2)]
    clock.advance(3600.0)
    assert [200, 200, 200, 429] == [get(app).status_code for _ in range(4)]
