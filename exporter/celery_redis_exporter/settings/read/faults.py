"""What pydantic found wrong, in one line for the person who wrote it.

Takes a ValidationError and the given values, gives a ConfigError. Shows a value only where it can't be a secret.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from celery_redis_exporter.errors import ConfigError
from celery_redis_exporter.settings.read.given import Given, Path
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
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
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
    return ConfigError(f"{name}{place}: {_sentence(finding)}{_got(own, given)}")


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
