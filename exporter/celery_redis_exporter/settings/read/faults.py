# SPDX-License-Identifier: Apache-2.0
"""Explain an error of pydantic in one line.

Input: a ValidationError and the given values. Output: a ConfigError. A value is shown only if it can't be a secret.
"""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from celery_redis_exporter.errors import ConfigError, suggest
from celery_redis_exporter.settings.read.given import Given, Path
from celery_redis_exporter.settings.schema.model import Declared
from celery_redis_exporter.settings.schema.rows import by_path

SENTENCES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "finite_number": "must be a finite number",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "string_unicode": "must be text in UTF-8",
    "missing": "is missing",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be {ge:g} or more",
    "less_than_equal": "must be {le:g} or less",
    "string_too_short": "must not be empty",
    "literal_error": "must be {expected}",
}


def explain(error: ValidationError, given: Mapping[Path, Given]) -> ConfigError:
    """Return a ConfigError for the first error. It names the setting as the user wrote it."""
    finding = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in finding["loc"])
    own = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in given), path)
    name = given[own].written if own in given else ".".join(path)
    # Integers are positions in a list. The other parts are pydantic's own words.
    inner = [part for part in path[len(own) :] if not part.isdigit() and part not in {"bool", "str", "[key]"}]
    place = f" ({'.'.join(inner)})" if inner else ""
    if finding["type"] == "extra_forbidden":
        return ConfigError(f"{name}{place}: no such setting{_suggest(path)}")
    return ConfigError(f"{name}{place}: {_sentence(finding)}{_got(own, given)}")


def _suggest(path: Path) -> str:
    """Return a hint for the last name of a path: the most similar name of its group, or all of them."""
    kind: Any = Declared
    for part in path[:-1]:
        is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
        kind = kind.model_fields[part].annotation if is_group else get_args(kind)[-1]  # the values of a mapping
    return suggest(path[-1], kind.model_fields) or f"; there are {', '.join(kind.model_fields)}"


def _sentence(finding: ErrorDetails) -> str:
    context: dict[str, Any] = finding.get("ctx", {})
    if finding["type"] == "value_error":
        return str(context["error"])
    sentence = SENTENCES.get(finding["type"])
    # pydantic's own messages contain no input (hide_input_in_errors), but may have several lines.
    return sentence.format(**context) if sentence else " ".join(finding["msg"].split())


def _got(path: Path, given: Mapping[Path, Given]) -> str:
    row = by_path().get(path)
    value = given[path].value if path in given else None
    if row is None or row.secret or row.kind == "mapping" or not isinstance(value, str | int | float):
        return ""
    shown = str(value)
    # A URL that was given for another setting may contain a password.
    if "://" in shown or "@" in shown or len(shown) > 60:
        return ""
    return f", not {shown!r}"
