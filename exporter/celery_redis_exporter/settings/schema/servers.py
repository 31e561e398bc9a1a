# SPDX-License-Identifier: Apache-2.0
"""Define settings of Redis servers besides broker and result backend, by name.

Input: text or YAML values. Output: immutable ones. Invalid values raise ValueError with the cause.
"""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.transport import SentinelOptions
from celery_redis_exporter.settings.schema.values import SettingsGroup
from celery_redis_exporter.settings.unique import unique

NAME = re.compile(r"[A-Za-z0-9_.-]{1,63}")
TAKEN = ("broker", "results")
PAIR = re.compile(r"(?:^|,)\s*(?P<name>[^=,{}\s]+)=(?P<url>\S+?)(?=\s*(?:$|,\s*[^=,{}\s/?]+=\w+://))\s*")
"""A server as ``name=URL``. A comma within a URL is part of the URL."""


class ServerOptions(SettingsGroup):
    """One more server; ``discover`` says whether the nodes of its cluster are looked for."""

    url: v.RedisUrl
    password_file: str | None = None
    discover: bool = True
    master_name: str = ""
    sentinel_kwargs: SentinelOptions = SentinelOptions()


def _check_names(servers: Mapping[str, ServerOptions]) -> Mapping[str, ServerOptions]:
    for name in servers:
        if name in TAKEN:
            raise ValueError(f"has {name!r}, which is the name of a server with settings of its own; choose another")
        if not NAME.fullmatch(name):
            raise ValueError("has a name that is not made of up to 63 letters, digits and . _ - alone")
    return servers


def _parse_servers(value: object) -> object:
    """Read a JSON object, or ``name=URL`` pairs with commas between; a server may be its URL alone."""
    if not isinstance(value, str) or value.strip().startswith("{"):
        parsed = v.parse_object(value)
        if not isinstance(parsed, Mapping):
            return parsed
        return {name: {"url": server} if isinstance(server, str) else server for name, server in parsed.items()}
    text = value.strip().rstrip(",")
    found = list(PAIR.finditer(text))
    if "".join(pair[0] for pair in found) != text or not found:
        raise ValueError("must be name=URL pairs with commas between, or a JSON object")
    return unique([(pair["name"], {"url": pair["url"]}) for pair in found])


ServersByName = Annotated[dict[str, ServerOptions], BeforeValidator(_parse_servers), AfterValidator(_check_names)]
SERVERS_HELP = (
    "More Redis servers to read, by name: cache=redis://cache:6379, or with more options as JSON: "
    '{"cache": {"url": "rediss://reader@cache:6380", "password_file": "/run/secrets/cache"}}.'
)
