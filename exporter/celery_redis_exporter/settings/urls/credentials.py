"""Users and passwords that may change while the exporter runs: read from their files for each connection.

Takes paths, gives users and passwords. Never keeps one, but for knowing what must not be shown in logs.
"""

from dataclasses import dataclass, field
from urllib.parse import quote

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.text_file import read_text
from celery_redis_exporter.settings.urls.urls import secrets_of

SHOWN_NEVER = 100
"""Former contents remembered of a file, the last ones."""


class _Seen:
    """What a file held, now and before, for the log's filter; safe from any thread."""

    def __init__(self) -> None:
        self.texts: tuple[str, ...] = ()

    def note(self, *texts: str) -> None:
        """Remember texts, as the last ones."""
        # Replaced as a whole: a line that is logged at this moment must find every one.
        kept = [text for text in self.texts if text not in texts]
        self.texts = (*kept, *dict.fromkeys(texts))[-SHOWN_NEVER:]


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A file that is read again for each connection; ``written`` is the setting or the variable that names it."""

    path: str
    written: str
    seen: _Seen = field(default_factory=_Seen, repr=False, compare=False)

    def _line(self) -> str:
        """Give what it holds, without a line break at the end; raise ConfigError."""
        return read_text(self.path, self.written, secret=True).removesuffix("\n").removesuffix("\r")


@dataclass(frozen=True, slots=True)
class PasswordFile(SecretFile):
    """A file that holds a password."""

    def read(self) -> str:
        """Give the password, empty where the file is: then there is none. Raise ConfigError."""
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
        """Give the URL; raise ConfigError."""
        url = self._line()
        self.seen.note(*secrets_of(url))
        return url
