"""What the web configuration adds: a guarded application, a TLS context.

Takes a ``WebConfig``, gives what the server takes. Imports passwords and certificates only where they are switched on.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celery_redis_exporter.clock import Clock
from celery_redis_exporter.records.web_config import WebConfig

if TYPE_CHECKING:
    from celery_redis_exporter.web.tls import ReloadingContext


class GuardedApp:
    """An application behind the users and headers of a web configuration, which can be replaced while it serves."""

    def __init__(self, app: ASGIApp, config: WebConfig, open_paths: Collection[str] = ()) -> None:
        self._app, self._open_paths = app, open_paths
        self._guarded = guard(app, config, open_paths)

    def replace(self, config: WebConfig) -> None:
        """Guard it by another configuration from the next request on; called from any thread."""
        self._guarded = guard(self._app, config, self._open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._guarded(scope, receive, send)


def guard(app: ASGIApp, config: WebConfig, open_paths: Collection[str] = ()) -> ASGIApp:
    """Put users and headers before an application; with neither, give it as it is.

    Nobody is asked for a password at ``open_paths``.
    """
    if config.users:
        from celery_redis_exporter.web.auth import BasicAuth  # noqa: PLC0415 -- brings bcrypt, which most exporters never need

        app = BasicAuth(app, config.users, open_paths)
    return FixedHeaders(app, config.headers) if config.headers else app


def open_tls(config: WebConfig, clock: Clock) -> "ReloadingContext | None":
    """Load the certificate, None if TLS is off; raise ConfigError in one line if that fails."""
    if config.tls is None:
        return None
    from celery_redis_exporter.web.tls import ReloadingContext  # noqa: PLC0415 -- not needed without TLS

    return ReloadingContext(config.tls, clock)


class FixedHeaders:
    """Sets headers on every answer of an application, in the place of its own."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app, self._headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
