# SPDX-License-Identifier: Apache-2.0
"""Read users and passwords that may change while the exporter runs. Their files are read for each connection.

Input: paths. Output: users and passwords. They are kept only to mask them in logs.
"""

from dataclasses import dataclass, field
from urllib.parse import quote

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.text_file import read_text
from celery_redis_exporter.settings.urls.urls import secrets_of

SHOWN_NEVER = 100
"""Number of former contents that are remembered for each file."""


class _Seen:
    """The present and former contents of a file, for the log's filter; safe from any thread."""

    def __init__(self) -> None:
        self.texts: tuple[str, ...] = ()

    def note(self, *texts: str) -> None:
        """Remember texts as the latest ones."""
        # The tuple is replaced as a whole, because another thread may be masking a log line with it.
        kept = [text for text in self.texts if text not in texts]
        self.texts = (*kept, *dict.fromkeys(texts))[-SHOWN_NEVER:]


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that is read again for each connection; ``written`` is the setting or the variable that names it."""

    path: str
    written: str
    seen: _Seen = field(default_factory=_Seen, repr=False, compare=False)

    def _line(self) -> str:
        """Return the content without a line break at its end. Raises ConfigError."""
        return read_text(self.path, self.written, secret=True).removesuffix("\n").removesuffix("\r")


@dataclass(frozen=True, slots=True)
class PasswordFile(SecretFile):
    """A file that holds a password."""

    def read(self) -> str:
        """Return the password. An empty file means no password. Raises ConfigError."""
        password = self._line()
        if "\n" in password:
            raise ConfigError(f"{self.written}: {self.path} has more than one line; it must hold the password alone")
        if password:
            self.seen.note(password, quote(password, safe=""))
        return password


@dataclass(frozen=True, slots=True)
class UrlFile(SecretFile):
    """A file that holds a URL, of which user and password may change."""

    def read(self) -> str:
        """Return the URL. Raises ConfigError."""
        url = self._line()
        self.seen.note(*secrets_of(url))
        return url
