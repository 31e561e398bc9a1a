# SPDX-License-Identifier: Apache-2.0
"""Basic authentication in front of an application, without a server."""

import asyncio
import threading
from base64 import b64encode
from collections.abc import Callable

import bcrypt
import httpx
import pytest
from starlette.responses import PlainTextResponse

from celery_redis_exporter.web.auth import MAX_CHECKS, MAX_CHECKS_PER_CLIENT, REMEMBERED, BasicAuth, read_credentials
from tests.support.waiting import eventually

LONG = "x" * 100
PASSWORDS = {"prometheus": "right", "jörg": "grün: ja", "long": LONG, "empty": ""}
HASHES = {
    name: bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode() for name, password in PASSWORDS.items()
}


class Door:
    """A guarded application that counts the calls of bcrypt, and blocks them while ``open`` is not set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, users: dict[str, str]) -> None:
        self.guarded = BasicAuth(PlainTextResponse("inside"), users)
        self.open = threading.Event()
        self.open.set()
        self.checked: list[bytes] = []
        self.threads: set[str] = set()
        self._check = bcrypt.checkpw
        monkeypatch.setattr(bcrypt, "checkpw", self._watch)

    def _watch(self, password: bytes, hashed: bytes) -> bool:
        self.checked.append(hashed)
        self.threads.add(threading.current_thread().name)
        self.open.wait(10)
        return self._check(password, hashed)

    async def knock(
        self, name: str = "", password: str = "", client: str = "10.0.0.1", header: str | None = None
    ) -> httpx.Response:
        """Send a request with credentials, or with this Authorization header."""
        basic = "Basic " + b64encode(f"{name}:{password}".encode()).decode()
        transport = httpx.ASGITransport(app=self.guarded, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as http:
            return await http.get("/any", headers={"Authorization": basic if header is None else header})

    async def until_asked(self) -> None:
        """Wait until bcrypt is called."""
        await asyncio.to_thread(eventually, lambda: self.checked)

    async def until_waiting(self, count: int) -> None:
        """Wait until this number of checks has started."""
        await asyncio.to_thread(eventually, lambda: len(self.guarded._checks) == count)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """Return a guarded application."""
    return Door(monkeypatch, HASHES)


@pytest.mark.parametrize(("name", "password"), list(PASSWORDS.items()))
def test_the_right_password_lets_in(door: Door, name: str, password: str) -> None:
    """Names and passwords that are not ASCII, with colons, empty, or longer than bcrypt reads, are accepted."""
    reply = asyncio.run(door.knock(name, password))
    assert (200, "inside") == (reply.status_code, reply.text)


@pytest.mark.parametrize(
    ("name", "password"),
    [("prometheus", "wrong"), ("prometheus", ""), ("nobody", "right"), ("", ""), ("Prometheus", "right")],
)
def test_a_wrong_password_does_not(door: Door, name: str, password: str) -> None:
    """A wrong password and an unknown name get the same 401, which requests basic authentication."""
    reply = asyncio.run(door.knock(name, password))
    assert (401, "unauthorized\n", "no-store") == (reply.status_code, reply.text, reply.headers["cache-control"])
    assert reply.headers["www-authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Bearer cmlnaHQ=", "Basic cmlnaHQ="])
def test_no_credentials_cost_nothing(door: Door, header: str) -> None:
    """A header without basic authentication is refused without a call of bcrypt."""
    assert 401 == asyncio.run(door.knock(header=header)).status_code
    assert [] == door.checked


def test_a_header_beyond_ascii_is_no_credential() -> None:
    """Bytes that are not ASCII are refused like any other invalid header."""
    assert read_credentials("Basic \xe4") is None


def test_the_scheme_has_no_case() -> None:
    """The scheme ``basic`` is Basic, as HTTP specifies."""
    assert b"a:b:c" == read_credentials("bAsIc " + b64encode(b"a:b:c").decode())


def test_bcrypt_runs_outside_the_event_loop(door: Door) -> None:
    """Passwords are checked in a dedicated thread."""
    asyncio.run(door.knock("prometheus", "right"))
    assert {"web-password_0"} == door.threads


def test_a_right_password_is_checked_once(door: Door) -> None:
    """The second request with the same credentials does not call bcrypt; other credentials still do."""

    async def work() -> list[int]:
        tries = ["right", "right", "wrong", "wrong", "right"]
        return [(await door.knock("prometheus", password)).status_code for password in tries]

    assert [200, 200, 401, 401, 200] == asyncio.run(work())
    assert 3 == len(door.checked)


def test_equal_requests_share_a_check(door: Door) -> None:
    """Fifty simultaneous scrapers with the same password cause one call of bcrypt."""

    async def work() -> list[int]:
        replies = await asyncio.gather(*(door.knock("prometheus", "right") for _ in range(50)))
        return [reply.status_code for reply in replies]

    assert [200] * 50 == asyncio.run(work())
    assert 1 == len(door.checked)


def test_what_is_remembered_is_no_password_and_bounded(door: Door) -> None:
    """Passwords that bcrypt can't distinguish fill no memory, and the cache contains none of them."""

    async def work() -> None:
        for number in range(REMEMBERED + 5):
            assert 200 == (await door.knock("long", f"{LONG}{number}")).status_code

    asyncio.run(work())
    assert REMEMBERED == len(door.guarded._remembered)
    assert not any(b"x" * 10 in digest or b"long" in digest for digest in door.guarded._remembered)


def test_unknown_users_cost_what_known_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """For an unknown name bcrypt runs at a cost that users have, the same at each try, and never agrees."""
    users = {str(cost): bcrypt.hashpw(b"p", bcrypt.gensalt(cost)).decode() for cost in (4, 5)}
    door = Door(monkeypatch, users)

    async def work() -> None:
        for name in [f"nobody{number}" for number in range(30)] * 2:
            assert 401 == (await door.knock(name, "p")).status_code

    asyncio.run(work())
    costs = [hashed.split(b"$")[2] for hashed in door.checked]
    assert costs[:30] == costs[30:]
    assert {b"04", b"05"} == set(costs)


def test_an_unknown_user_never_gets_in(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not in the file is refused, whatever bcrypt returns for the placeholder hash."""
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: True)
    assert [401, 200] == [asyncio.run(door.knock(name, "p")).status_code for name in ("nobody", "prometheus")]


async def flood(door: Door, clients: Callable[[int], str], count: int) -> list[asyncio.Task[httpx.Response]]:
    """Start requests with different wrong passwords."""
    return [asyncio.create_task(door.knock("prometheus", str(i), clients(i))) for i in range(count)]


def test_a_flood_starves_nobody(door: Door) -> None:
    """While guesses fill the places of one address, the known scraper is answered and a new one gets its turn."""

    async def work() -> list[int]:
        assert 200 == (await door.knock("prometheus", "right", "10.0.0.2")).status_code
        door.open.clear()
        guesses = await flood(door, lambda _: "10.6.6.6", 50)
        await door.until_waiting(MAX_CHECKS_PER_CLIENT)
        known = await door.knock("prometheus", "right", "10.0.0.2")
        new = asyncio.create_task(door.knock("jörg", PASSWORDS["jörg"], "10.0.0.3"))
        await door.until_waiting(MAX_CHECKS_PER_CLIENT + 1)
        door.open.set()
        guessed = sorted(reply.status_code for reply in await asyncio.gather(*guesses))
        assert [401] * MAX_CHECKS_PER_CLIENT + [503] * (50 - MAX_CHECKS_PER_CLIENT) == guessed
        return [known.status_code, (await new).status_code]

    assert [200, 200] == asyncio.run(work())


def test_what_waits_is_bounded(door: Door) -> None:
    """The number of waiting passwords is bounded for any number of addresses, and one at a time is checked."""

    async def work() -> list[int]:
        door.open.clear()
        guesses = await flood(door, lambda i: f"10.6.6.{i}", 60)
        await door.until_waiting(MAX_CHECKS)
        await door.until_asked()
        assert 1 == len(door.checked)
        door.open.set()
        return sorted(reply.status_code for reply in await asyncio.gather(*guesses))

    assert [401] * MAX_CHECKS + [503] * (60 - MAX_CHECKS) == asyncio.run(work())
    assert {} == door.guarded._checks


def test_a_client_that_leaves_spoils_no_check(door: Door) -> None:
    """A cancelled request gets its 503, and another request that waits for the same check is still accepted."""

    async def work() -> list[int]:
        door.open.clear()
        first, second = (asyncio.create_task(door.knock("prometheus", "right")) for _ in range(2))
        await door.until_asked()
        first.cancel()
        left = await first
        door.open.set()
        return [left.status_code, (await second).status_code]

    assert [503, 200] == asyncio.run(work())
