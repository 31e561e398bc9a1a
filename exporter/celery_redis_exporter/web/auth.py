"""Basic authentication: names and passwords against bcrypt hashes, before any path is looked at.

Takes an application and its users, gives an application that answers 401 to everybody else. bcrypt runs in a thread
of its own, one password at a time. Never logs or keeps a password: what is remembered is a keyed digest of a right one.
"""

import asyncio
import binascii
import secrets
from base64 import b64decode
from collections.abc import Collection, Mapping
from hashlib import blake2b

import bcrypt
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from celery_redis_exporter.web.routes import NO_STORE, OverloadError, Pool

REMEMBERED = 100
"""Right passwords that need no bcrypt again."""
MAX_CHECKS = 16
"""Different passwords that wait for bcrypt; one more is answered 503 at once."""
MAX_CHECKS_PER_CLIENT = 4
"""The same from one address, so that nobody who guesses takes every place."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="celery-redis-exporter", charset="UTF-8"'}
SIGNIFICANT_BYTES = 72  # bcrypt has never looked at more; new versions of the library refuse what is longer


class BasicAuth:
    """Lets requests of ``users`` (name to bcrypt hash) through, and those of all to ``open_paths``; in one event loop.

    An unknown name is checked against a hash that nothing matches, of a cost that some user's has: it takes as long.
    """

    def __init__(self, app: ASGIApp, users: Mapping[str, str], open_paths: Collection[str] = ()) -> None:
        self._app = app
        self._open_paths = frozenset(open_paths)
        self._hashes = {name.encode(): hashed.encode() for name, hashed in users.items()}
        self._costs = sorted(hashed.split(b"$")[2] for hashed in self._hashes.values())
        self._key = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._checks: dict[bytes, tuple[str, asyncio.Task[bool]]] = {}
        self._pool = Pool("web-password", threads=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            allowed = await self._allows(scope)
            refusal = _refuse(401, "unauthorized", CHALLENGE)
        except OverloadError as error:
            allowed, refusal = False, _refuse(503, str(error))
        except asyncio.CancelledError:
            # Only the server's stop cancels; uvicorn would log it as a crash of the application.
            allowed, refusal = False, _refuse(503, "shutting down")
        await (self._app if allowed else refusal)(scope, receive, send)

    async def _allows(self, scope: Scope) -> bool:
        if scope["path"] in self._open_paths:
            return True
        credentials = read_credentials(Headers(scope=scope).get("authorization"))
        if credentials is None:
            return False
        # With a key that nobody has, the time of a look-up tells nothing about what is remembered.
        digest = blake2b(credentials, key=self._key, digest_size=32).digest()
        if digest in self._remembered:
            return True
        if digest not in self._checks:
            self._begin(digest, credentials, (scope.get("client") or ("",))[0])
        # Shielded, because others may wait for the same check.
        return await asyncio.shield(self._checks[digest][1])

    def _begin(self, digest: bytes, credentials: bytes, client: str) -> None:
        """Start a check that every request with the same credentials shares."""
        from_client = sum(waiting == client for waiting, _ in self._checks.values())
        if len(self._checks) >= MAX_CHECKS or from_client >= MAX_CHECKS_PER_CLIENT:
            raise OverloadError("too many passwords at once")
        self._checks[digest] = (client, asyncio.create_task(self._check(digest, credentials)))

    async def _check(self, digest: bytes, credentials: bytes) -> bool:
        name, _, password = credentials.partition(b":")
        hashed = self._hashes.get(name)
        compared = hashed or self._unmatched_hash(name)
        try:
            matches = await self._pool.run(lambda: bcrypt.checkpw(password[:SIGNIFICANT_BYTES], compared))
        finally:
            del self._checks[digest]
        if hashed is None or not matches:
            return False
        while len(self._remembered) >= REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[digest] = None
        return True

    def _unmatched_hash(self, name: bytes) -> bytes:
        """A hash for a name that does not exist; the same name always costs the same."""
        chosen = blake2b(name, key=self._key, digest_size=8).digest()
        cost = self._costs[int.from_bytes(chosen) % len(self._costs)]
        return b"$2b$" + cost + b"$" + b"." * 53


def read_credentials(header: str | None) -> bytes | None:
    """Read ``name:password`` from the value of Authorization; None for anything that is no basic authentication."""
    scheme, _, encoded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        credentials = b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return credentials if b":" in credentials else None


def _refuse(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{text}\n", status, NO_STORE | dict(headers or {}))
