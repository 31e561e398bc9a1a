# SPDX-License-Identifier: Apache-2.0
"""Define the types of settings: the syntax of a value in a flag, a variable or a file.

Input: text or YAML values. Output: validated, immutable values. Invalid ones raise ValueError with a message that never
contains the value.
"""

import ipaddress
import json
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from celery_redis_exporter.settings.unique import DuplicateKeyError, unique
from celery_redis_exporter.settings.urls.broker_urls import parse_broker_url, parse_result_url


class SettingsGroup(BaseModel):
    """A group of settings: frozen, closed to unknown names, without values in error messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
SIZE = re.compile(r"(\d{1,15}) ?((?:[kmgt]i?b?)?)", re.IGNORECASE)
HOST_END = re.compile(r"\.?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
LONGEST_SECONDS = 1e9
"""About thirty years. Python's threads can't wait much longer."""


def parse_seconds(value: object) -> object:
    """Convert ``90``, ``"1.5"``, ``"500ms"`` or ``"1h30m"`` to seconds, less than LONGEST_SECONDS.

    Raises ValueError for any other value.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            is_sum = DURATION.fullmatch(text)
            value = math.fsum(float(n) * UNITS[unit] for n, unit in PART.findall(text)) if is_sum else float(text)
        except (ValueError, OverflowError):
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LONGEST_SECONDS:
        raise ValueError("must be a duration: seconds, or a number with ms, s, m, h or d, as in 90 or 1h30m")
    return value


def parse_bytes(value: object) -> object:
    """Convert ``1024``, ``"512MB"`` or ``"2GiB"`` to bytes. Raises ValueError. Units are Redis's: 1gb is 1024 ** 3."""
    if isinstance(value, str):
        found = SIZE.fullmatch(value.strip())
        if found is None:
            raise ValueError("must be a number of bytes, or a number with KB, MB, GB or TB, as in 512MB or 2GB")
        return int(found[1]) * SIZES[found[2][:1].lower()]
    return _no_flag(value)


def show_seconds(seconds: float) -> str:
    """Return seconds in the usual notation: ``500ms``, ``30s``, ``1h``."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / UNITS[unit]
        if seconds and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"


def parse_list(value: object) -> object:
    """Split comma-separated text, or parse a JSON list. Other values are left to the type check."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return _json(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def parse_mapping(value: object) -> object:
    """Parse a JSON object, or ``name=value`` pairs separated by commas. Other values are left to the type check."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("{"):
        return _json(text)
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    if not all(mark and name.strip() for name, mark, _ in pairs):
        raise ValueError('must be name=value pairs with commas between, or a JSON object, as in {"name": 1}')
    return unique([(name.strip(), number.strip()) for name, _, number in pairs])


def parse_object(value: object) -> object:
    """Parse a JSON object. A YAML mapping is returned unchanged. Raises ValueError for any other value."""
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, Mapping):
        raise ValueError('must be a JSON object, as in {"name": 1}')  # noqa: TRY004 -- pydantic reports ValueError
    return value


def lower(value: object) -> object:
    """Convert a word of a closed list to lower case."""
    return value.lower() if isinstance(value, str) else value


def _json(text: str) -> Any:  # noqa: ANN401 -- JSON is anything
    try:
        return json.loads(text, object_pairs_hook=unique)
    except DuplicateKeyError:
        raise
    except ValueError:
        raise ValueError("is not valid JSON") from None


def are_rising(bounds: tuple[float, ...]) -> bool:
    """Return whether these can be a histogram's upper bounds: at least one, above 0, in rising order, without +Inf."""
    rising = all(low < high for low, high in pairwise(bounds))
    return bool(bounds) and rising and bounds[0] > 0 and math.isfinite(bounds[-1])


def _rising_bounds(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if not are_rising(bounds):
        raise ValueError("needs upper bounds above 0 in rising order, without +Inf")
    return bounds


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 -- pydantic reports ValueError
    return value


def _ascending_steps(steps: tuple[int, ...]) -> tuple[int, ...]:
    if not steps:
        raise ValueError("must name at least one priority step")
    return tuple(sorted(set(steps)))


def _true_or_text(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    return value


def _zero_or_a_second(value: float) -> float:
    if 0 < value < 1:
        raise ValueError("must be 1s or more, or 0")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    parse_result_url("", value.get_secret_value())
    return value


def _broker_url(value: SecretStr) -> SecretStr:
    parse_broker_url(value.get_secret_value())
    return value


def _listen_address(value: str) -> str:
    if value.startswith("unix:"):
        if not value.removeprefix("unix:").removeprefix("//").startswith("/"):
            raise ValueError("must be unix: and an absolute path, as in unix:/run/celery-redis-exporter/http.sock")
        return value
    host, mark, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not mark or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, :PORT or unix:PATH, as in 127.0.0.1:9808, [::1]:9808 or :9808")
    if any(c.isspace() or c in "/@[]" for c in bare) or (bare == host and ":" in host):
        raise ValueError("must be HOST:PORT with an IPv6 address in brackets, as in [::1]:9808")
    return value


def _telemetry_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", value):
        raise ValueError("must be a path other than / that starts with /, as in /metrics")
    if value.startswith(("/-", "/api/")):
        raise ValueError("must not start with /- or /api/, which the exporter uses itself")
    return value


def _check_addresses(entries: tuple[str, ...]) -> tuple[str, ...]:
    for entry in entries:
        try:
            ipaddress.ip_network(entry, strict=False)
        except ValueError:
            if not HOST_END.fullmatch(entry) or entry.rpartition(".")[2].isdigit():
                raise ValueError("must be networks or ends of host names, as in 10.0.0.0/8 or .internal") from None
    return entries


Bounds = Annotated[tuple[float, ...], BeforeValidator(parse_list), AfterValidator(_rising_bounds)]
Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0)]
PositiveSeconds = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0)]
Interval = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0), AfterValidator(_zero_or_a_second)]
Patience = Annotated[float, BeforeValidator(parse_seconds), Field(gt=0, le=60)]
Count = Annotated[int, BeforeValidator(_no_flag), Field(ge=1)]
FailureCount = Annotated[int, BeforeValidator(_no_flag), Field(ge=0, le=1000)]
Bytes = Annotated[int, BeforeValidator(parse_bytes), Field(ge=0)]
Ratio = Annotated[float, Field(gt=0, le=1)]
NameList = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(parse_list)]
Addresses = Annotated[NameList, AfterValidator(_check_addresses)]
Step = Annotated[int, BeforeValidator(_no_flag), Field(ge=0, le=255)]
Steps = Annotated[tuple[Step, ...], BeforeValidator(parse_list), AfterValidator(_ascending_steps)]
CountByPattern = Annotated[dict[str, Count], BeforeValidator(parse_mapping)]
SecondsByPattern = Annotated[dict[str, PositiveSeconds], BeforeValidator(parse_mapping)]
Prefix = Annotated[bool | str, BeforeValidator(_true_or_text)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
TelemetryPath = Annotated[str, AfterValidator(_telemetry_path)]
