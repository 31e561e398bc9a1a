"""What pydantic found wrong, in one line for the person who wrote it.

Takes a ValidationError and the given values, gives a ConfigError. Shows a value only where it can't be a secret.
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
    """Turn the first finding into a ConfigError that names the setting as it was written."""
    finding = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in finding["loc"])
    own = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in given), path)
    name = given[own].written if own in given else ".".join(path)
    # Whole numbers are places in a list, the others words of pydantic's own.
    inner = [part for part in path[len(own) :] if not part.isdigit() and part not in {"bool", "str", "[key]"}]
    place = f" ({'.'.join(inner)})" if inner else ""
    if finding["type"] == "extra_forbidden":
        return ConfigError(f"{name}{place}: no such setting{_suggest(path)}")
    return ConfigError(f"{name}{place}: {_sentence(finding)}{_got(own, given)}")


def _suggest(path: Path) -> str:
    """Return what the last name of a path may stand for: the nearest one of its group, or all of them."""
    kind: Any = Declared
    for part in path[:-1]:
        is_group = isinstance(kind, type) and issubclass(kind, BaseModel)
        kind = kind.model_fields[part].annotation if is_group else get_args(kind)[-1]  # a mapping's values
    return suggest(path[-1], kind.model_fields) or f"; there are {', '.join(kind.model_fields)}"


def _sentence(finding: ErrorDetails) -> str:
    context: dict[str, Any] = finding.get("ctx", {})
    if finding["type"] == "value_error":
        return str(context["error"])
    sentence = SENTENCES.get(finding["type"])
    # A message of pydantic's own carries no input (hide_input_in_errors), but may run over lines.
    return sentence.format(**context) if sentence else " ".join(finding["msg"].split())


def _got(path: Path, given: Mapping[Path, Given]) -> str:
    row = by_path().get(path)
    value = given[path].value if path in given else None
    if row is None or row.secret or row.kind == "mapping" or not isinstance(value, str | int | float):
        return ""
    shown = str(value)
    # A URL in the wrong place may carry a password.
    if "://" in shown or "@" in shown or len(shown) > 60:
        return ""
    return f", not {shown!r}"
