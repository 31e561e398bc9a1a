"""Users and passwords that may change while the exporter runs: read from their files for each connection.

Takes paths, gives users and passwords. Never keeps one, but for knowing what must not be shown in logs.
"""

from dataclasses import dataclass, field
from urllib.parse import quote

from exporter.errors import ConfigError
from exporter.settings.text_file import read_text
from exporter.settings.urls import secrets_of

SHOWN_NEVER = 100
"""Former contents remembered of a file, the last ones."""


class _Secrets:
    """What a file held, now and before, for the log's filter."""

    def __init__(self) -> None:
        self.texts: dict[str, None] = {}

    def note(self, *texts: str) -> None:
        for text in texts:
            self.texts[text] = self.texts.pop(text, None)
        while len(self.texts) > SHOWN_NEVER:
            del self.texts[next(iter(self.texts))]


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """A file that holds a password; ``written`` is the setting that names it."""

    path: str
    written: str
    seen: _Secrets = field(default_factory=_Secrets, repr=False, compare=False)

    def read(self) -> str:
        """Give the password, without a line break at the end; raise ConfigError."""
        password = _line(read_text(self.path, self.written, secret=True))
        if not password:
            raise ConfigError(f"{self.written}: {self.path} is empty; it must hold the password")
        if "\n" in password:
            raise ConfigError(f"{self.written}: {self.path} has more than one line; it must hold the password alone")
        self.seen.note(password, quote(password, safe=""))
        return password


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file that holds a URL, of which user and password may change; ``written`` is the variable that names it."""

    path: str
    written: str
    seen: _Secrets = field(default_factory=_Secrets, repr=False, compare=False)

    def read(self) -> str:
        """Give the URL; raise ConfigError."""
        url = _line(read_text(self.path, self.written, secret=True))
        self.seen.note(*secrets_of(url))
        return url


def _line(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")
