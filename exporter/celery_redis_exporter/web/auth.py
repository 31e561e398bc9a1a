# SPDX-License-Identifier: Apache-2.0
"""Check user names and passwords against bcrypt hashes (basic authentication), before any path is looked at.

Input: an application and its users. Output: an application that answers 401 to all other clients. bcrypt runs in a
dedicated thread, one password at a time. Passwords are never logged or stored: what is remembered is a keyed digest of
a correct one.
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
"""Number of correct passwords that are remembered, and so need no second bcrypt check."""
MAX_CHECKS = 16
"""Number of different passwords that may wait for bcrypt. One more is answered 503 at once."""
MAX_CHECKS_PER_CLIENT = 4
"""The same limit for one client address, so that a client that guesses passwords can't take every place."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="celery-redis-exporter", charset="UTF-8"'}
SIGNIFICANT_BYTES = 72  # bcrypt ignores further bytes; new versions of the library refuse them


class BasicAuth:
    """Passes on the requests of ``users`` (name to bcrypt hash), and all requests for ``open_paths``.

    Used in one event loop. An unknown name is checked against a hash that no password matches. Its cost is the cost of
    some user's hash, so the check takes as long.
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
        """Pass the request to the application, or answer 401 or 503."""
        try:
            allowed = await self._allows(scope)
            refusal = _refuse(401, "unauthorized", CHALLENGE)
        except OverloadError as error:
            allowed, refusal = False, _refuse(503, str(error))
        except asyncio.CancelledError:
            # Only the stop of the server cancels. uvicorn would log the cancellation as a crash of the application.
            allowed, refusal = False, _refuse(503, "shutting down")
        await (self._app if allowed else refusal)(scope, receive, send)

    async def _allows(self, scope: Scope) -> bool:
        if scope["path"] in self._open_paths:
            return True
        credentials = read_credentials(Headers(scope=scope).get("authorization"))
        if credentials is None:
            return False
        # The key is secret, so the time of a look-up does not reveal which passwords are remembered.
        digest = blake2b(credentials, key=self._key, digest_size=32).digest()
        if digest in self._remembered:
            return True
        if digest not in self._checks:
            self._begin(digest, credentials, (scope.get("client") or ("",))[0])
        # The check is shielded because other requests may wait for it.
        return await asyncio.shield(self._checks[digest][1])

    def _begin(self, digest: bytes, credentials: bytes, client: str) -> None:
        """Start a check that all requests with the same credentials share.

        Raises OverloadError if too many passwords wait already, in all or from this client.
        """
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
        """Return a hash for a name that does not exist. Its cost is always the same for the same name."""
        chosen = blake2b(name, key=self._key, digest_size=8).digest()
        cost = self._costs[int.from_bytes(chosen) % len(self._costs)]
        return b"$2b$" + cost + b"$" + b"." * 53


def read_credentials(header: str | None) -> bytes | None:
    """Return ``name:password`` from the value of Authorization, or None if it is not basic authentication."""
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
