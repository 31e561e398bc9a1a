# SPDX-License-Identifier: Apache-2.0
"""Define settings of single keys that are watched: exact names, by server and database.

Input: text or YAML values. Output: immutable ones. Invalid values raise ValueError with the cause.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.key_space import Database

MOST_KEYS = 100
LONGEST_KEY = 200


def _check_keys(servers: Mapping[str, Mapping[int, tuple[str, ...]]]) -> Mapping[str, Mapping[int, tuple[str, ...]]]:
    for server, databases in servers.items():
        for database, names in databases.items():
            if len(names) > MOST_KEYS:
                raise ValueError(f"has more than {MOST_KEYS} keys for database {database} of {server!r}; use fewer")
            if any(not name or len(name) > LONGEST_KEY for name in names):
                raise ValueError(f"has for {server!r} a key whose name is not 1 to {LONGEST_KEY} characters")
    return servers


Names = Annotated[
    tuple[str, ...], BeforeValidator(v.parse_list), AfterValidator(lambda names: tuple(dict.fromkeys(names)))
]
KeysByServer = Annotated[dict[str, dict[Database, Names]], BeforeValidator(v.parse_object), AfterValidator(_check_keys)]
KEYS_HELP = (
    "Keys to watch, by server and database, as exact names in JSON: "
    '{"broker": {"0": ["orders"]}, "cache": {"1": ["sessions", "rates"]}}.'
)
