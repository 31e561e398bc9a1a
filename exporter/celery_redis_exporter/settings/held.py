"""The settings as the exporter holds them: plain objects with the attributes that the models declare.

Takes what ``reader`` has validated, gives read-only attributes and what follows from them. Imports no pydantic, which
is needed to read settings, and takes 13 MB for as long as a process runs.
"""

import copy
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from celery_redis_exporter.records.web_config import WebConfig
from celery_redis_exporter.settings.targets import find_option_secrets, find_redis_targets, find_secrets
from celery_redis_exporter.settings.urls.broker_urls import KombuTarget, parse_broker_url
from celery_redis_exporter.settings.urls.credentials import PasswordFile, UrlFile
from celery_redis_exporter.settings.urls.urls import RedisTarget

T = TypeVar("T")


class Secret:
    """A text that is shown nowhere: pydantic's SecretStr without pydantic."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Give the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


class Values:
    """A group of settings; frozen. Its repr shows no secret."""

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 -- what the models declare
        vars(self).update(values)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name}: settings are frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # mappings are among the values

    def __repr__(self) -> str:
        shown = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def changed(group: T, **values: Any) -> T:  # noqa: ANN401 -- what the models declare
    """Return the same settings, or the same group of them, but for these values, which nothing checks."""
    copied = copy.copy(group)
    vars(copied).update(values)
    return copied


if TYPE_CHECKING:
    from celery_redis_exporter.settings.schema.model import Declared
else:
    Declared = Values


class Settings(Declared):
    """Everything that can be set, and what follows from it; frozen. Its repr shows no secret.

    ``notes`` are facts about the configuration that are worth a log line, free of secrets; ``web_config`` is what the
    file ``web.config.file`` says; ``url_files`` are the files that URLs were read from, by setting; ``_foreign`` are
    transport options that only kombu itself may need.
    """

    notes: tuple[str, ...] = ()
    web_config: WebConfig = WebConfig()
    url_files: Mapping[str, UrlFile] = MappingProxyType({})
    _foreign: Mapping[str, Any] = MappingProxyType({})
    _password_files: dict[str, PasswordFile]

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 -- what the models declare
        super().__init__(**values)
        vars(self)["_password_files"] = {}

    def password_file(self, written: str, path: str | None) -> PasswordFile | None:
        """Give the file of a password, the same each time, so that what it held is known; None without a path."""
        return self._password_files.setdefault(written, PasswordFile(path, written)) if path else None

    @property
    def broker(self) -> RedisTarget | KombuTarget:
        """The broker."""
        target = parse_broker_url(self.broker_url.get_secret_value())
        return replace(target, options=self._foreign) if isinstance(target, KombuTarget) else target

    @property
    def redis_targets(self) -> tuple[RedisTarget, ...]:
        """The Redis servers, each once: ``broker``, if it is one, ``results`` and those of ``redis.servers``."""
        return find_redis_targets(self)

    @property
    def targets(self) -> tuple[RedisTarget | KombuTarget, ...]:
        """Every server, the broker first."""
        broker = self.broker
        return (broker, *(target for target in self.redis_targets if target.name != broker.name))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must never be shown, for the log's filter; grows when a file's content changes."""
        hashes = set(self.web_config.users.values())
        return tuple(sorted(find_secrets(self) | find_option_secrets(self._foreign) | hashes))
