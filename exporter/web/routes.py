"""Requests in, answers out: the paths of the exporter and who answers them.

Takes plain callables that may block, and runs them in threads of its own: scrapes in one pool, everything that must
answer while scrapes hang (health, the landing page) in another. The event loop only passes bytes. Never knows what
a metric is.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.errors import ConfigError, ExporterError

SCRAPE_THREADS = 8
HEALTH_THREADS = 2
MAX_WAITING = 128
"""Requests in one pool, running or waiting; one more is answered 503 at once instead of growing a queue."""

NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
METRICS_HEADERS = NO_STORE | {"Vary": "Accept, Accept-Encoding"}
PAGE_HEADERS = NO_STORE | {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class MetricsReply(NamedTuple):
    """The answer to a scrape; ``encoding`` is the value of Content-Encoding, None for none."""

    body: bytes
    content_type: str
    encoding: str | None


@dataclass(frozen=True, slots=True)
class Handlers:
    """What answers; each is called in a thread and may block. An ExporterError becomes a 503 with its message.

    ``metrics`` takes the values of Accept and Accept-Encoding (empty if absent), and the seconds after which
    Prometheus gives up on the scrape, or None. ``healthy`` and ``ready`` give the verdict and its reason in words.
    ``home`` gives HTML.
    """

    metrics: Callable[[str, str, float | None], MetricsReply]
    healthy: Callable[[], tuple[bool, str]]
    ready: Callable[[], tuple[bool, str]]
    home: Callable[[], str]


class OverloadError(ExporterError):
    """More requests wait than will be served."""


class Pool:
    """A bounded pool of threads for callables that block; threads start when they are needed.

    Used from one event loop only, which is why the count needs no lock.
    """

    def __init__(self, name: str, threads: int, max_waiting: int = MAX_WAITING) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(self, call: Callable[[], T]) -> T:
        """Run ``call`` in a thread; raise OverloadError if too many requests wait already."""
        if self._waiting >= self._max_waiting:
            raise OverloadError("too many requests at once")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        # At the call's own end, not the request's: a client that hangs up leaves its call running.
        future.add_done_callback(self._count_down)
        return await future

    def _count_down(self, _: object) -> None:
        self._waiting -= 1


def build_app(handlers: Handlers, telemetry_path: str) -> Starlette:
    """Build the application; raise ConfigError for a path that can't be served."""
    if not telemetry_path.startswith("/") or set(telemetry_path) & set("{}?#"):
        raise ConfigError(f"web.telemetry-path {telemetry_path}: must start with / and hold none of {{}}?#")
    scrapes, health = Pool("web-scrape", SCRAPE_THREADS), Pool("web-health", HEALTH_THREADS)
    routes = [
        Route(telemetry_path, _answer_metrics(handlers, scrapes), methods=["GET"]),
        Route("/-/healthy", _answer_verdict(handlers.healthy, health), methods=["GET"]),
        Route("/-/ready", _answer_verdict(handlers.ready, health), methods=["GET"]),
        Route("/", _answer_home(handlers, health), methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    # /metrics/ is no path of ours; a redirect would only hide a wrong scrape configuration.
    app.router.redirect_slashes = False
    return app


def read_scrape_timeout(value: str | None) -> float | None:
    """Read X-Prometheus-Scrape-Timeout-Seconds; None for anything that isn't a finite number above 0."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _answer_metrics(handlers: Handlers, pool: Pool) -> Endpoint:
    async def answer(request: Request) -> Response:
        headers = request.headers
        accept, accept_encoding = (", ".join(headers.getlist(name)) for name in ("accept", "accept-encoding"))
        timeout = read_scrape_timeout(headers.get("x-prometheus-scrape-timeout-seconds"))
        reply = await pool.run(lambda: handlers.metrics(accept, accept_encoding, timeout))
        encoding = {} if reply.encoding is None else {"Content-Encoding": reply.encoding}
        # As a header, because starlette would add a charset to media_type.
        return Response(reply.body, headers=METRICS_HEADERS | {"Content-Type": reply.content_type} | encoding)

    return _guard(answer)


def _answer_verdict(judge: Callable[[], tuple[bool, str]], pool: Pool) -> Endpoint:
    async def answer(_: Request) -> Response:
        good, reason = await pool.run(judge)
        return PlainTextResponse(f"{reason}\n", 200 if good else 503, NO_STORE)

    return _guard(answer)


def _answer_home(handlers: Handlers, pool: Pool) -> Endpoint:
    async def answer(_: Request) -> Response:
        return HTMLResponse(await pool.run(handlers.home), headers=PAGE_HEADERS)

    return _guard(answer)


def _guard(answer: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except ExporterError as error:
            return PlainTextResponse(f"{error}\n", 503, NO_STORE)
        except asyncio.CancelledError:
            # Only the server's stop cancels; uvicorn would log it as a crash of the application.
            return PlainTextResponse("shutting down\n", 503, NO_STORE)

    return guarded
