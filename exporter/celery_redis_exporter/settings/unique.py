# SPDX-License-Identifier: Apache-2.0
"""Make dictionaries from JSON or pairs, with an error for duplicate keys.

Input: pairs in the order in which they are written. Output: a dictionary.
"""

from collections.abc import Iterable
from typing import Any


class DuplicateKeyError(ValueError):
    """One mapping contains a key twice. The message does not repeat the key, because a value may be a secret."""


def unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary. Raise DuplicateKeyError instead of dropping all but the last of equal keys."""
    mapping: dict[str, Any] = {}
    for key, value in pairs:
        if key in mapping:
            raise DuplicateKeyError("contains the same key twice; keep one")
        mapping[key] = value
    return mapping
