# SPDX-License-Identifier: Apache-2.0
"""Apply the web configuration: users, headers, a rate limit, TLS.

Input: a ``WebConfig``. Output: a guarded application and a TLS context for the server. The modules for passwords and
certificates are imported only where they are switched on.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.web_config import RequestLimit, WebConfig

if TYPE_CHECKING:
    from celery_redis_exporter.web.tls import ReloadingContext


class GuardedApp:
    """An application behind the users and headers of a web configuration, which can be replaced while it serves."""

    def __init__(self, app: ASGIApp, config: WebConfig, clock: Clock, open_paths: Collection[str] = ()) -> None:
        self._app, self._open_paths, self._clock = app, open_paths, clock
        self._guarded = guard(app, config, clock, open_paths)

    def replace(self, config: WebConfig) -> None:
        """Use another configuration from the next request on. May be called from any thread."""
        self._guarded = guard(self._app, config, self._clock, self._open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guarded(scope, receive, send)


def guard(app: ASGIApp, config: WebConfig, clock: Clock, open_paths: Collection[str] = ()) -> ASGIApp:
    """Return the application behind users, headers and a rate limit, or unchanged if none is configured.

    ``open_paths`` are served without a password.
    """
    if config.users:
        from celery_redis_exporter.web.auth import BasicAuth  # noqa: PLC0415 -- imports bcrypt

        app = BasicAuth(app, config.users, open_paths)
    if config.headers:
        app = FixedHeaders(app, config.headers)
    return RateLimited(app, config.rate_limit, clock) if config.rate_limit is not None else app


def open_tls(config: WebConfig, clock: Clock) -> "ReloadingContext | None":
    """Load the certificate and return its context, or None if TLS is off. Raises ConfigError, with one line."""
    if config.tls is None:
        return None
    from celery_redis_exporter.web.tls import ReloadingContext  # noqa: PLC0415 -- not needed without TLS

    return ReloadingContext(config.tls, clock)


class RateLimited:
    """Answers 429 to requests beyond a limit, which all clients share; in one event loop."""

    def __init__(self, app: ASGIApp, limit: RequestLimit, clock: Clock) -> None:
        self._app, self._limit, self._clock = app, limit, clock
        self._left = float(limit.burst)
        self._counted = clock.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now = self._clock.monotonic()
        self._left = min(self._left + (now - self._counted) / self._limit.interval, self._limit.burst)
        self._counted = now
        allowed = self._left >= 1
        self._left -= allowed
        await (self._app if allowed else PlainTextResponse("too many requests\n", 429))(scope, receive, send)


class FixedHeaders:
    """Sets headers on every response of an application, instead of the application's own values."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
