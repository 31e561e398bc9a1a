"""YAML in tests: parsed by libyaml, which is ten times faster than the parser in Python.

Takes text, gives dicts and lists; the tests read some megabytes of it.
"""

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Both are safe; wheels of PyYAML have the first."""


def parse(text: str) -> Any:  # noqa: ANN401 -- whatever the document holds
    """Give the one document."""
    return yaml.load(text, _LOADER)  # noqa: S506 -- a safe loader


def parse_all(text: str) -> list[Any]:
    """Give all documents, empty ones too."""
    return list(yaml.load_all(text, _LOADER))


def dump_all(documents: list[Any]) -> str:
    """Write all documents, keys sorted."""
    text: str = yaml.safe_dump_all(documents, width=120)
    return text
