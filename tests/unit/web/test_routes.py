# SPDX-License-Identifier: Apache-2.0
"""Paths, headers and pools of the application, without a server."""

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping

import httpx
import pytest
from starlette.types import ASGIApp

from celery_redis_exporter.errors import ConfigError, SourceError
from celery_redis_exporter.web.routes import (
    HEALTH_THREADS,
    PAGE_THREADS,
    SCRAPE_THREADS,
    Handlers,
    MetricsReply,
    OverloadError,
    Pool,
    build_app,
)
from celery_redis_exporter.web.routes import read_scrape_timeout as read_timeout
from tests.support.waiting import eventually

BODY = "# HELP a é\na 1.0\n".encode()
CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"


class Client:
    """A client that calls an application without a server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def request(self, method: str, path: str, headers: list[tuple[str, str]] | None = None) -> httpx.Response:
        """Send one request."""
        return asyncio.run(self._send(method, path, headers))

    def get(self, path: str, headers: list[tuple[str, str]] | None = None) -> httpx.Response:
        """Send one GET."""
        return self.request("GET", path, headers)

    async def _send(self, method: str, path: str, headers: list[tuple[str, str]] | None) -> httpx.Response:
        transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            return await client.request(method, path, headers=headers)


class Answers:
    """Handlers that record their arguments and return the configured answers."""

    def __init__(self) -> None:
        self.queried: list[tuple[str, str, float | None]] = []
        self.threads: list[str] = []
        self.applications: list[str | None] = []
        self.verdict = (True, "all is well")
        self.encoding: str | None = None
        self.error: Exception | None = None

    def metrics(
        self, accept: str, accept_encoding: str, timeout: float | None, application: str | None
    ) -> MetricsReply:
        """Answer a scrape."""
        self.queried.append((accept, accept_encoding, timeout))
        self.applications.append(application)
        self.threads.append(threading.current_thread().name)
        if self.error is not None:
            raise self.error
        return MetricsReply(BODY, CONTENT_TYPE, self.encoding)

    def judge(self) -> tuple[bool, str]:
        """Answer both checks."""
        self.threads.append(threading.current_thread().name)
        return self.verdict

    def home(self, query: Mapping[str, str]) -> str:
        """Answer with a page."""
        return f"<h1>home</h1>{dict(query) or ''}"

    def ready(self, application: str | None) -> tuple[bool, str]:
        """Answer for one application."""
        self.applications.append(application)
        return self.judge()

    def status(self, application: str | None) -> bytes:
        """Answer with the status as JSON."""
        self.applications.append(application)
        return b'{"version": "1", "redis": []}'

    def open_client(self, telemetry_path: str = "/metrics") -> Client:
        """Return a client of an application with these handlers."""
        handlers = Handlers(self.metrics, self.judge, self.ready, self.home, self.status)
        return Client(build_app(handlers, telemetry_path, 0))


@pytest.fixture
def answers() -> Answers:
    """Return handlers whose verdicts are good."""
    return Answers()


def test_metrics(answers: Answers) -> None:
    """A scrape gets the body and its content type unchanged, and no cache may store it."""
    reply = answers.open_client().get("/metrics")
    assert (200, BODY, CONTENT_TYPE) == (reply.status_code, reply.content, reply.headers["content-type"])
    assert ("Accept, Accept-Encoding", "no-store") == (reply.headers["vary"], reply.headers["cache-control"])
    assert "content-encoding" not in reply.headers


def test_the_encoding_is_named(answers: Answers) -> None:
    """A compressed body has the header that states its encoding."""
    answers.encoding = "br"
    assert "br" == answers.open_client().get("/metrics").headers["content-encoding"]


def test_the_handler_gets_the_headers(answers: Answers) -> None:
    """All Accept headers are passed on, also from several lines, and the timeout is passed as a number."""
    lines = [("accept", "text/plain"), ("accept", "*/*;q=0.1"), ("accept-encoding", "gzip")]
    answers.open_client().get("/metrics", headers=[*lines, ("x-prometheus-scrape-timeout-seconds", "9.5")])
    assert ("gzip", 9.5) == answers.queried[0][1:]
    assert answers.queried[0][0].endswith("text/plain, */*;q=0.1")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10", 10.0), ("0.5", 0.5), (" 3 ", 3.0), ("", None), ("soon", None), ("-1", None), ("0", None),
        ("nan", None), ("inf", None), ("-inf", None), ("1e999", None), ("5s", None),
    ],
)  # fmt: skip
def test_scrape_timeout(value: str, seconds: float | None) -> None:
    """Only a finite number above 0 is a timeout; any other value is ignored."""
    assert seconds == read_timeout(value)


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_verdicts(answers: Answers, path: str) -> None:
    """A good verdict is 200 and a bad one 503, each with its reason in plain text."""
    client = answers.open_client()
    good = client.get(path)
    answers.verdict = (False, "broker: refused")
    bad = client.get(path)
    assert (200, "all is well\n", 503, "broker: refused\n") == (good.status_code, good.text, bad.status_code, bad.text)
    assert "text/plain; charset=utf-8" == bad.headers["content-type"]


def test_status_is_json(answers: Answers) -> None:
    """The status is JSON that no cache may store."""
    reply = answers.open_client().get("/api/v1/status")
    assert (200, {"version": "1", "redis": []}) == (reply.status_code, reply.json())
    assert ("application/json", "no-store") == (reply.headers["content-type"], reply.headers["cache-control"])


def test_home_has_security_headers(answers: Answers) -> None:
    """The page may load only itself, be in no frame and send no referrer; its handler gets the query."""
    reply = answers.open_client().get("/?q=a&q=b")
    assert ("<h1>home</h1>{'q': 'b'}", "text/html; charset=utf-8") == (reply.text, reply.headers["content-type"])
    policy = reply.headers["content-security-policy"]
    assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert ("nosniff", "no-referrer") == (reply.headers["x-content-type-options"], reply.headers["referrer-policy"])


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_methods(answers: Answers, path: str) -> None:
    """Every path accepts GET and HEAD, and refuses other methods without calling a handler."""
    client = answers.open_client()
    assert [200, 200] == [client.get(path).status_code, client.request("HEAD", path).status_code]
    calls = len(answers.threads)
    assert [405] * 4 == [client.request(method, path).status_code for method in ("POST", "PUT", "DELETE", "OPTIONS")]
    assert calls == len(answers.threads)


@pytest.mark.parametrize("path", ["/metrics/", "/favicon.ico", "/-/reload", "/metrics//", "/metrics/../x"])
def test_other_paths(answers: Answers, path: str) -> None:
    """A path that is not served gets 404 in plain text, never a redirect."""
    reply = answers.open_client().get(path)
    assert (404, "text/plain; charset=utf-8") == (reply.status_code, reply.headers["content-type"])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/metrics"), ("GET", "/-/ready"), ("GET", "/api/v1/status"), ("GET", "/no"), ("PUT", "/")],
)
def test_every_answer_is_what_it_says(answers: Answers, method: str, path: str) -> None:
    """No answer, not even a refusal, may be stored by a cache or read as another content type."""
    headers = answers.open_client().request(method, path).headers
    assert ("nosniff", "no-store") == (headers["x-content-type-options"], headers["cache-control"])
    assert ("GET" == method) == ("allow" not in headers)


def test_the_metrics_may_be_the_root(answers: Answers) -> None:
    """With / as telemetry path the metrics are served there instead of the page."""
    assert BODY == answers.open_client("/").get("/").content


@pytest.mark.parametrize("path", ["metrics", "", "/{name}", "/a?b", "/a#b"])
def test_a_path_that_cannot_be_served(answers: Answers, path: str) -> None:
    """A telemetry path that no request can have is a configuration error with the setting's name."""
    with pytest.raises(ConfigError, match=r"^web.telemetry-path "):
        answers.open_client(path)


def test_an_expected_failure(answers: Answers) -> None:
    """An expected failure of a handler is a 503 that states the reason."""
    answers.error = SourceError("refused", "broker: refused")
    reply = answers.open_client().get("/metrics")
    assert (503, "broker: refused\n") == (reply.status_code, reply.text)


def test_a_bug(answers: Answers) -> None:
    """An unexpected error of a handler is a 500 without details of the error."""
    answers.error = RuntimeError("a secret")
    reply = answers.open_client().get("/metrics")
    assert 500 == reply.status_code  # the text is the web server's
    assert "a secret" not in reply.text


def test_handlers_run_in_threads_of_their_own(answers: Answers) -> None:
    """Handlers run outside the event loop, and neither scrapes nor pages use the thread of the health check."""
    client = answers.open_client()
    for path in ("/metrics", "/-/ready", "/-/healthy"):
        client.get(path)
    assert ["web-scrape_0", "web-page_0", "web-health_0"] == answers.threads
    assert (8, 4, 1) == (SCRAPE_THREADS, PAGE_THREADS, HEALTH_THREADS)


def test_hanging_pages_do_not_hold_up_health(answers: Answers) -> None:
    """The health check is answered however many requests wait for pages of hanging servers."""
    release = threading.Event()

    def hang(_: Mapping[str, str]) -> str:
        release.wait(10)
        return ""

    handlers = Handlers(answers.metrics, answers.judge, answers.ready, hang, answers.status)
    transport = httpx.ASGITransport(build_app(handlers, "/metrics", 0))

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            pages = [asyncio.ensure_future(client.get("/")) for _ in range(2 * PAGE_THREADS)]
            try:
                return (await asyncio.wait_for(client.get("/-/healthy"), 5)).status_code
            finally:
                release.set()
                await asyncio.gather(*pages)

    assert 200 == asyncio.run(ask())


def test_a_full_pool_refuses() -> None:
    """A full pool refuses calls at once, and accepts calls again when others have ended."""
    release = threading.Event()

    async def fill() -> tuple[list[str], str]:
        pool = Pool("test", threads=1, max_waiting=2)
        calls = [asyncio.ensure_future(pool.run(lambda: str(release.wait(10)))) for _ in range(2)]
        await asyncio.sleep(0)  # both calls are in the pool now
        with pytest.raises(OverloadError):
            await pool.run(str)
        release.set()
        return await asyncio.gather(*calls), await pool.run(lambda: "again")

    assert (["True", "True"], "again") == asyncio.run(fill())


def test_results_never_pile_up() -> None:
    """While the event loop is busy, no more calls end than there are threads: each result may be a large body."""
    made: list[int] = []
    threads, begin = 2, threading.Event()

    def make() -> None:
        begin.wait(20)
        made.append(1)

    async def requests() -> int:
        pool = Pool("x", threads)
        running = [asyncio.create_task(pool.run(make)) for _ in range(20)]
        await asyncio.sleep(0)
        begin.set()  # not earlier: since Python 3.14 an awaiting task takes a finished result at once
        eventually(lambda: len(made) == threads)  # the event loop is blocked meanwhile
        with pytest.raises(AssertionError):
            eventually(lambda: len(made) > threads, within=0.2)
        await asyncio.gather(*running)
        return len(made)

    assert 20 == asyncio.run(requests())


def test_scrapes_that_wait_share_an_answer() -> None:
    """While all threads are busy, scrapes with the same headers share one answer; other scrapes get another."""
    release, made = threading.Event(), Counter[str]()

    def metrics(accept: str, *_: object) -> MetricsReply:
        made[accept] += 1
        release.wait(20)
        return MetricsReply(accept.encode(), "text/plain", None)

    nothing = Handlers(metrics, lambda: (True, ""), lambda _: (True, ""), lambda _: "", lambda _: b"")
    transport = httpx.ASGITransport(app=build_app(nothing, "/metrics", 10**6))

    async def scrape(accept: str) -> str:
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as client:
            return (await client.get("/metrics", headers={"Accept": accept})).text

    async def scrapes() -> list[str]:
        busy = [asyncio.create_task(scrape(f"{number}")) for number in range(SCRAPE_THREADS)]
        await asyncio.to_thread(eventually, lambda: made.total() == SCRAPE_THREADS)
        waiting = [asyncio.create_task(scrape(accept)) for accept in ["text"] * 20 + ["other"] * 3]
        for _ in range(1000):
            await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*busy)
        return await asyncio.gather(*waiting)

    assert ["text"] * 20 + ["other"] * 3 == asyncio.run(scrapes())
    assert (1, 1, SCRAPE_THREADS + 2) == (made["text"], made["other"], made.total())
