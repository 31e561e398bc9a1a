# SPDX-License-Identifier: Apache-2.0
"""Map the paths of the exporter to the callables that answer them.

Input: plain callables that may block. Output: an ASGI application that runs them in threads: scrapes in one pool, other
requests that query servers (readiness, the page, the status) in a second one, and liveness in a third, which no slow
server can block. The event loop only passes bytes on. This module contains nothing about metrics.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar, cast
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from celery_redis_exporter.errors import ConfigError, ExporterError, UnknownApplicationError
from celery_redis_exporter.web.bodies import PieceByPiece
from celery_redis_exporter.web.page import content_security_policy

SCRAPE_THREADS = 8
PAGE_THREADS = 4
HEALTH_THREADS = 1
MAX_WAITING = 128
"""Requests in one pool, running or waiting. One more is answered 503 at once, so that no queue grows."""
MAX_WAITING_PER_CLIENT = 64
"""The same limit for one client address, so that no client takes every place."""

HEALTHY_PATH = "/-/healthy"
APPLICATION = "application"
"""The parameter that names one of several applications."""
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METRICS_HEADERS = (
    (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"vary", b"Accept, Accept-Encoding"),
)  # fmt: skip

T = TypeVar("T")
ScrapeHeaders = tuple[str, str, float | None]
"""Accept, Accept-Encoding, and Prometheus's timeout in seconds."""
WantedScrape = tuple[str, str, float | None, str | None]
"""The headers, and one of several applications or None."""
RouteHandler = Callable[[Request], Awaitable[Response]]


class MetricsReply(NamedTuple):
    """The response to a scrape. ``encoding`` is the value of Content-Encoding, or None without one."""

    body: bytes
    content_type: str
    encoding: str | None


@dataclass(frozen=True, slots=True)
class Handlers:
    """The callables that answer requests. Each is called in a thread. An ExporterError becomes a 503 with its message.

    ``metrics`` takes the values of Accept and Accept-Encoding (empty if absent), and the seconds after which Prometheus
    gives up the scrape, or None. ``healthy`` and ``ready`` return the verdict and its reason in words. ``home`` takes
    the parameters of the query and returns HTML. ``status`` returns JSON. ``metrics``, ``ready`` and ``status`` take
    the application of the query, or None, at the end. An UnknownApplicationError becomes a 404.
    """

    metrics: Callable[[str, str, float | None, str | None], MetricsReply]
    healthy: Callable[[], tuple[bool, str]]
    ready: Callable[[str | None], tuple[bool, str]]
    home: Callable[[Mapping[str, str]], str]
    status: Callable[[str | None], bytes]


class OverloadError(ExporterError):
    """Too many requests wait, so this one is refused."""


class Pool:
    """A bounded pool of threads for callables that block. Threads start when they are needed.

    A call begins only when the event loop has taken over the result of an earlier one. Otherwise threads would make
    large bodies faster than a busy event loop can send them or give them up.

    Used from one event loop only, so the counts need no lock.
    """

    def __init__(self, name: str, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)
        self._max_waiting = max_waiting
        self._waiting: Counter[str] = Counter()  # by client address

    async def run(self, call: Callable[[], T], client: str = "") -> T:
        """Run ``call`` in a thread. Raises OverloadError if too many requests wait, in all or from ``client``.

        ``client`` is the address of the client.
        """
        with self.admit(client):
            return await self.run_admitted(call)

    @contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Count a request of ``client`` during a with block. Raises OverloadError if too many requests wait."""
        if self._waiting.total() >= self._max_waiting or self._waiting[client] >= MAX_WAITING_PER_CLIENT:
            raise OverloadError("too many requests at once")
        self._waiting[client] += 1
        try:
            yield
        finally:
            self._waiting[client] -= 1
            if not self._waiting[client]:
                del self._waiting[client]

    async def run_admitted(self, call: Callable[[], T], begun: Callable[[], object] = lambda: None) -> T:
        """Run ``call`` in a thread as soon as one is free, and ``begun`` in the event loop just before."""
        async with self._free:
            begun()
            return await asyncio.get_running_loop().run_in_executor(self._executor, call)


def build_app(handlers: Handlers, telemetry_path: str, most_bytes: int) -> ASGIApp:
    """Return the application. Raises ConfigError if ``telemetry_path`` can't be served.

    ``most_bytes`` is the limit of all bodies that are being sent at the same time.
    """
    if not telemetry_path.startswith("/") or set(telemetry_path) & set("{}?#"):
        raise ConfigError(f"web.telemetry-path {telemetry_path}: must start with / and hold none of {{}}?#")
    scrapes, pages = Pool("web-scrape", SCRAPE_THREADS), Pool("web-page", PAGE_THREADS)
    health = Pool("web-health", HEALTH_THREADS)
    metrics = Metrics(handlers, scrapes)
    routes = [
        Route(telemetry_path, metrics, methods=["GET"]),
        Route(HEALTHY_PATH, _answer_verdict(lambda _: handlers.healthy(), health), methods=["GET"]),
        Route("/-/ready", _answer_verdict(handlers.ready, pages), methods=["GET"]),
        Route("/api/v1/status", _answer_status(handlers, pages), methods=["GET"]),
        Route("/", _answer_home(handlers, pages), methods=["GET"]),
    ]
    others = Starlette(routes=routes, exception_handlers={HTTPException: _answer_refusal})
    # /metrics/ does not exist; a redirect would only hide a wrong scrape configuration.
    others.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Starlette's middleware and routing take as long as a tenth of a small scrape.
        is_scrape = scope["type"] == "http" and scope["path"] == telemetry_path and scope["method"] == "GET"
        await (metrics if is_scrape else others)(scope, receive, send)

    return PieceByPiece(app, most_bytes)


def read_scrape_timeout(value: str) -> float | None:
    """Return the seconds of X-Prometheus-Scrape-Timeout-Seconds, or None if it is not a finite number above 0."""
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def read_application(query: bytes) -> str | None:
    """Return the application that a query string names, or None if it names none."""
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(APPLICATION) if query else None
    return found[0] if found else None


class Metrics:
    """Answers scrapes. It is an ASGI application itself, see ``Handlers``.

    Scrapes of the same metrics with the same headers that wait for a thread share one answer, which is begun after they
    came. So a crowd of clients keeps the threads busy for two answers, and delays no one else for longer.
    """

    def __init__(self, handlers: Handlers, pool: Pool) -> None:
        self._answer = handlers.metrics
        self._pool = pool
        self._next: dict[WantedScrape, asyncio.Task[MetricsReply]] = {}  # Those that have not begun yet.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one scrape."""
        wanted = (*read_headers(scope["headers"]), read_application(scope["query_string"]))
        try:
            with self._pool.admit(_client(scope)):
                if wanted not in self._next:
                    self._next[wanted] = asyncio.create_task(self._make(wanted))
                reply = await asyncio.shield(self._next[wanted])
        except (ExporterError, asyncio.CancelledError) as error:
            await _refuse(error)(scope, receive, send)
            return
        await _send_reply(reply, send)

    async def _make(self, wanted: WantedScrape) -> MetricsReply:
        """Make an answer, which scrapes can share until it is begun."""
        return await self._pool.run_admitted(partial(self._answer, *wanted), lambda: self._next.pop(wanted))


def _client(scope: Scope) -> str:
    """Return the address of a request's client, or an empty string without one."""
    return (scope.get("client") or ("",))[0]


async def _send_reply(reply: MetricsReply, send: Send) -> None:
    headers = [*METRICS_HEADERS, (b"content-type", reply.content_type.encode("latin-1"))]
    headers.append((b"content-length", b"%d" % len(reply.body)))
    if reply.encoding is not None:
        headers.append((b"content-encoding", reply.encoding.encode("latin-1")))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def read_headers(headers: Iterable[tuple[bytes, bytes]]) -> ScrapeHeaders:
    """Return the headers of a scrape. Each may occur several times."""
    accept, accept_encoding, timeout = [], [], None
    for name, value in headers:
        if name == b"accept":
            accept.append(value)
        elif name == b"accept-encoding":
            accept_encoding.append(value)
        elif name == b"x-prometheus-scrape-timeout-seconds":
            timeout = timeout or value
    scrape_timeout = None if timeout is None else read_scrape_timeout(timeout.decode("latin-1"))
    return b", ".join(accept).decode("latin-1"), b", ".join(accept_encoding).decode("latin-1"), scrape_timeout


async def _answer_refusal(_: Request, error: Exception) -> Response:
    """Answer 404 and 405 with the same headers as every other response."""
    found = cast("HTTPException", error)
    return PlainTextResponse(f"{found.detail}\n", found.status_code, NO_STORE | dict(found.headers or {}))


def _answer_verdict(judge: Callable[[str | None], tuple[bool, str]], pool: Pool) -> RouteHandler:
    async def answer(request: Request) -> Response:
        call = partial(judge, request.query_params.get(APPLICATION))
        good, reason = await pool.run(call, _client(request.scope))
        return PlainTextResponse(f"{reason}\n", 200 if good else 503, NO_STORE)

    return _guard(answer)


def _answer_home(handlers: Handlers, pool: Pool) -> RouteHandler:
    headers = NO_STORE | {"Content-Security-Policy": content_security_policy(), "Referrer-Policy": "no-referrer"}

    async def answer(request: Request) -> Response:
        page = await pool.run(partial(handlers.home, request.query_params), _client(request.scope))
        return HTMLResponse(page, headers=headers)

    return _guard(answer)


def _answer_status(handlers: Handlers, pool: Pool) -> RouteHandler:
    async def answer(request: Request) -> Response:
        call = partial(handlers.status, request.query_params.get(APPLICATION))
        facts = await pool.run(call, _client(request.scope))
        return Response(facts, headers=NO_STORE, media_type="application/json")

    return _guard(answer)


def _guard(answer: RouteHandler) -> RouteHandler:
    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except (ExporterError, asyncio.CancelledError) as error:
            return _refuse(error)

    return guarded


def _refuse(error: ExporterError | asyncio.CancelledError) -> Response:
    # Only the stop of the server cancels. uvicorn would log the cancellation as a crash of the application.
    text = str(error) if isinstance(error, ExporterError) else "shutting down"
    code = 404 if isinstance(error, UnknownApplicationError) else 503
    return PlainTextResponse(f"{text}\n", code, NO_STORE)
