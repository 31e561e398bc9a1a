# SPDX-License-Identifier: Apache-2.0
"""List fields of INFO that some products and versions name differently.

Valkey 8 and later write ``server_mode`` instead of ``redis_mode``, unless ``extended-redis-compatibility`` is on.
Dragonfly writes ``max_clients`` instead of ``maxclients``. Their ``redis_version`` is the version of Redis that they
are compatible with. ``decode.redis_fields.read_fields`` renames fields by this table, so all other code uses Redis's
names, and a new name is added in one place.
"""

import re
from collections.abc import Mapping

REDIS_NAMES = {"server_mode": "redis_mode", "max_clients": "maxclients"}
"""Redis's names of fields, by the name that another product gave them."""
VERSIONS = {
    "valkey_version": "Valkey",
    "dragonfly_version": "Dragonfly",
    "garnet_version": "Garnet",
    "kvrocks_version": "Kvrocks",
    "pika_version": "Pika",
}
"""Products by the field that contains their own version."""
MODERN = (7, 0)
"""From this Redis on, INFO and CONFIG GET take several words, ACLs can allow only reads, and EXPIRE has NX."""
_MODE = re.compile(rb"^(?:redis|server)_mode:(\w+)", re.MULTILINE)


def mode_of(info: bytes) -> str:
    """Return standalone, sentinel or cluster from the text of INFO; empty if it does not contain the mode."""
    found = _MODE.search(info)
    return "" if found is None else found.group(1).decode("ascii", "replace")


def read_product(fields: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the product's name, and its own version if it is known."""
    for field, product in VERSIONS.items():
        if fields.get(field):
            return product, fields[field].removeprefix("df-v")
    return "Redis", fields.get("redis_version") or None


def read_version(fields: Mapping[str, str]) -> tuple[int, int]:
    """Return the version of Redis that a server reports to be compatible with; (0, 0) if it reports none."""
    found = re.match(r"(\d{1,9})\.(\d{1,9})", fields.get("redis_version", ""))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def product_of(fields: Mapping[str, str]) -> str:
    """Return product and version for people, such as ``Redis 7.0.15`` or ``Valkey 8.1.3``."""
    product, version = read_product(fields)
    return f"{product} {version or '?'}"
