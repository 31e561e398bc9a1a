"""Fields of INFO that a server's product and version name differently.

Valkey 8 and later write ``server_mode`` instead of ``redis_mode``, unless ``extended-redis-compatibility`` is on.
``redis_version`` of Valkey is the version of Redis that it is compatible with; its own is ``valkey_version``. Every
reader of these fields uses this module, so that a renamed field is added in one place.
"""

import re
from collections.abc import Mapping

OTHER_NAMES = {"redis_mode": "server_mode"}
"""Fields by Redis's name, with the name that Valkey gave them."""
_MODE = re.compile(rb"^(?:redis|server)_mode:(\w+)", re.MULTILINE)


def read_field(fields: Mapping[str, str], name: str) -> str | None:
    """Return the field that Redis calls ``name``, under whichever name it is there; None if it is missing."""
    return fields.get(name) or fields.get(OTHER_NAMES.get(name, ""))


def mode_of(info: bytes) -> str:
    """Return standalone, sentinel or cluster from the text of INFO; empty if it does not contain the mode."""
    found = _MODE.search(info)
    return "" if found is None else found.group(1).decode("ascii", "replace")


def product_of(fields: Mapping[str, str]) -> str:
    """Return product and version for people, such as ``Redis 7.0.15`` or ``Valkey 8.1.3``."""
    valkey = fields.get("valkey_version")
    return f"Valkey {valkey}" if valkey else f"Redis {fields.get('redis_version', '?')}"
