# SPDX-License-Identifier: Apache-2.0
"""Read reports from a running exporter's ``/api/v1/status``.

Output: reports, or a SourceError with the reason why there is none.
"""

import argparse
import http.client
import ssl
from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import SplitResult, urlencode, urlsplit

import msgspec

from celery_redis_exporter.errors import ConfigError, SourceError
from celery_redis_exporter.records.report import Overview, Report
from celery_redis_exporter.settings.read.text_file import read_text

PATH, METRICS = "/api/v1/status", "/metrics"
TIMEOUT = 10.0
FIRST_BYTES = 300
"""An overview has its applications within so many bytes; a report has none."""
LONGEST = 64 * 2**20
"""Most bytes of a response."""


@dataclass(frozen=True, slots=True)
class Access:
    """What an exporter's port may require: a user, the file of the password, and the authority of its certificate."""

    user: str | None = None
    password_file: str | None = None
    ca_file: str | None = None


class RemoteSource:
    """A running exporter, by its URL. ``application`` is one of several. ``command`` is the command's name.

    Raises ConfigError for an invalid URL or file.
    """

    def __init__(self, command: str, url: str, access: Access, application: str | None = None) -> None:
        parts = _split(command, url)
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/").removesuffix(PATH).removesuffix(METRICS) + PATH
        if application is not None:
            self._path += f"?{urlencode({'application': application})}"
        self._headers = {"Accept": "application/json", **_authorise(command, access)}
        self._tls = _trust(command, access.ca_file) if self._secure else None
        if access.ca_file and not self._secure:
            raise ConfigError(f"{command}: --ca-file is for an https:// URL")
        self.name = f"{parts.scheme}://{parts.netloc}"

    def read(self) -> Report | Overview:
        """Request the report. Raises SourceError."""
        status, body = self._ask()
        if status == http.client.UNAUTHORIZED:
            raise SourceError("auth", f"{self.name} wants a user and a password: --user, --password-file")
        if status != http.client.OK:
            raise SourceError("failed", f"{self.name} answers {status}: {_first_line(body)}")
        try:
            kind: type[Report | Overview] = Overview if b'"applications":' in body[:FIRST_BYTES] else Report
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SourceError("failed", f"{self.name} is no exporter of this version: {error}") from error

    def close(self) -> None:
        """Do nothing, because nothing was started."""

    def _ask(self) -> tuple[int, bytes]:
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=self._tls)
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        )
        try:
            connection.request("GET", self._path, headers=self._headers)
            reply = connection.getresponse()
            body = reply.read(LONGEST + 1)
        except ssl.SSLError as error:
            raise SourceError("tls", f"{self.name}: {error.reason or error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(
                "refused", f"{self.name} does not answer: {str(error) or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if len(body) > LONGEST:
            raise SourceError("failed", f"{self.name} sends more than {LONGEST} bytes")
        return reply.status, body


def add_access_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of an exporter's port."""
    parser.add_argument("--user")
    parser.add_argument("--password-file")
    parser.add_argument("--ca-file")


def refuse_access_flags(command: str, flags: argparse.Namespace) -> None:
    """Raise ConfigError if a flag of an exporter's port was given without its URL."""
    for name in ("user", "password_file", "ca_file"):
        if getattr(flags, name) is not None:
            raise ConfigError(f"{command}: --{name.replace('_', '-')} is for the URL of an exporter, which is missing")


def access_of(flags: argparse.Namespace) -> Access:
    """Return what these flags say."""
    return Access(flags.user, flags.password_file, flags.ca_file)


def _split(command: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = None
        parts = urlsplit("")
    if not valid:
        raise ConfigError(
            f"{command}: the URL must be an exporter's, such as http://localhost:9808; for Redis: --broker-url"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{command}: user and password are not taken from the URL: --user, --password-file")
    return parts


def _authorise(command: str, access: Access) -> dict[str, str]:
    if access.user is None and access.password_file is None:
        return {}
    if access.user is None or access.password_file is None:
        raise ConfigError(f"{command}: --user and --password-file go together")
    password = read_text(access.password_file, "--password-file", secret=True).rstrip("\r\n")
    return {"Authorization": f"Basic {b64encode(f'{access.user}:{password}'.encode()).decode('ascii')}"}


def _trust(command: str, ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{command}: --ca-file={ca_file}: {error}") from error


def _first_line(body: bytes) -> str:
    lines = body[:200].decode("utf-8", "replace").splitlines()
    return "".join(character for character in (lines or [""])[0] if character.isprintable())
