# SPDX-License-Identifier: Apache-2.0
"""Define settings of the key space sampler: how often it runs, at what cost, and the user's own groups of keys.

Input: text or YAML values. Output: immutable ones. Invalid values raise ValueError with the cause.
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from celery_redis_exporter.settings.schema import values as v
from celery_redis_exporter.settings.schema.values import SettingsGroup

MOST_PATTERNS = 100
LONGEST = 100


def parse_groups(value: object) -> object:
    """Return a mapping of names to globs from globs or such a mapping. A glob without a name is its own name."""
    if isinstance(value, str) and value.strip().startswith("{"):
        value = v.parse_object(value)
    value = v.parse_list(value)
    if isinstance(value, list | tuple):
        return {str(glob): (str(glob),) for glob in value}
    if not isinstance(value, Mapping):
        raise ValueError('must be globs, as in market:*,user:*, or a JSON object, as in {"market": ["market:*"]}')  # noqa: TRY004 -- pydantic reports ValueError
    return {str(name): (globs,) if isinstance(globs, str) else globs for name, globs in value.items()}


def _check_groups(groups: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    if sum(map(len, groups.values())) > MOST_PATTERNS:
        raise ValueError(f"has more than {MOST_PATTERNS} globs, each of which is tried on every key; use fewer")
    for name, globs in groups.items():
        if not name or len(name) > LONGEST or not name.isprintable():
            raise ValueError(f"has a group whose name is not 1 to {LONGEST} printable characters")
        if not globs:
            raise ValueError(f"has a group without a glob, {name!r}; give it one, as in {name}:*")
        for glob in globs:
            if not glob.strip("*") or len(glob) > LONGEST:
                raise ValueError(f"has for {name!r} a glob that fits every key, or more than {LONGEST} characters")
    return groups


def _check_databases(databases: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(databases)))


Groups = Annotated[
    dict[str, Annotated[tuple[str, ...], BeforeValidator(v.parse_list)]],
    BeforeValidator(parse_groups),
    AfterValidator(_check_groups),
]
Database = Annotated[int, Field(ge=0, le=999_999_999)]
Databases = Annotated[tuple[Database, ...], BeforeValidator(v.parse_list), AfterValidator(_check_databases)]


class KeySpaceOptions(SettingsGroup):
    """What fills Redis databases, by groups of keys."""

    interval: v.Interval = Field(60, description="Time between reads of each server's key space; 0 disables them.")
    max_keys: v.Count = Field(20_000, description="Names of keys that one read returns.")
    max_measured: v.Count = Field(1000, description="Keys whose size and time to live one read queries.")
    max_busy: v.PositiveSeconds = Field(0.05, description="Time of the server that one read may take.")
    duty: v.Ratio = Field(0.02, description="Share of a read during which the server may be busy with it.")
    groups: Groups = Field(
        default_factory=dict,
        description='Groups of your own, as globs, market:*,user:*, or by name as JSON: {"market": ["market:*"]}.',
    )
    max_groups: Annotated[v.Count, Field(le=1000)] = Field(
        50, description="Groups shown of each database, the largest first; the rest goes under overflow."
    )
    databases: Databases = Field(
        (), description="Further databases to read, on every server; those of the URLs always are."
    )
