# SPDX-License-Identifier: Apache-2.0
"""Check the values of ``render alerts``.

Input: the name of a flag or of a key of its file (``where``), and a value. Output: the value as rules contain it.
Raises ConfigError, in one line, for values that Prometheus, the Prometheus operator or Grafana would refuse or
misinterpret.
"""

import math
import re
import warnings
from collections.abc import Collection

from celery_redis_exporter.errors import ConfigError

SEVERITIES = ("critical", "warning", "info", "none")
DURATION = re.compile(
    r"(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?(?:([0-9]+)ms)?"
)
"""Prometheus allows each unit once, in descending order."""
UNIT_SECONDS = (31_536_000, 604_800, 86_400, 3_600, 60, 1, 0.001)
MAX_SECONDS = 2**63 / 10**9
"""Prometheus stores nanoseconds in 64 bits."""
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NUMBERS_OF_PROMQL = ("inf", "nan")
"""Names that PromQL parses as numbers in a list of labels."""
URL = re.compile(r"https?://[A-Za-z0-9._~:/@!&+,;=%\[\]?-]+")
"""Excludes characters that would end a link in a message, begin a fragment, or be a variable in Grafana."""
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
MAX_OBJECT_NAME = 253
MAX_RULE_OBJECT = 512 * 1024
"""The limit of the Prometheus operator, which is half of Kubernetes'."""
UID = re.compile(r"[A-Za-z0-9_-]{1,40}")
MAX_TITLE = 189
MAX_SELECTOR = 1000
MATCHER = re.compile(
    r"""\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"""
    r"""("(?:[^"\\]|\\[abfnrtv\\"])*"|'(?:[^'\\]|\\[abfnrtv\\'])*'|`[^`]*`)\s*"""
)
NOT_RE2 = re.compile(
    r"\\[^dDsSwWafnrtv!-/:-@\[-`{-~]"  # an escape of another dialect
    r"|\(\?(?!:|i\)|P<[A-Za-z_])"  # a look-around, a conditional, a flag
    r"|[*+?}]\+"  # a possessive repetition
    r"|\[:"  # a POSIX class
)
REPEATED = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")
MAX_REPEATED = 1000
TEMPLATE = "{{"


def text(where: str, value: object) -> str:
    """Return a scalar as text. Raises ConfigError for other values, and for characters that can't be printed."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise ConfigError(f"{where}: must be a text")
    if not str(value).isprintable():
        raise ConfigError(f"{where}: contains a character that can't be printed")
    return str(value)


def number(where: str, value: object) -> float:
    """Return a finite number of at least 0."""
    try:
        found = float(text(where, value))
    except ValueError:
        raise ConfigError(f"{where}: {value} is no number") from None
    if not math.isfinite(found) or found < 0:
        raise ConfigError(f"{where}: {value} must be a finite number, 0 or more")
    return found


def duration(where: str, value: object) -> str:
    """Return a duration in Prometheus's format, or an empty string for 0."""
    found = DURATION.fullmatch(text(where, value))
    if str(value) != "0" and (found is None or not any(found.groups())):
        raise ConfigError(f"{where}: must be a duration of Prometheus's, as in 90s or 1h30m")
    parts = found.groups() if found else ()
    seconds = sum(int(part) * unit for part, unit in zip(parts, UNIT_SECONDS, strict=False) if part)
    if seconds >= MAX_SECONDS:
        raise ConfigError(f"{where}: is longer than the 292 years that Prometheus counts")
    return str(value) if seconds else ""


def severity(where: str, value: object) -> str:
    """Return a severity. It must be one that the Alertmanager example routes."""
    if value not in SEVERITIES:
        raise ConfigError(f"{where}: must be one of {', '.join(SEVERITIES)}")
    return str(value)


def label(where: str, name: str, value: object, taken: Collection[str]) -> str:
    """Return the value of a label that is added to every alert. ``taken`` are names that the rules use themselves."""
    shown = text(where, value)
    if not LABEL.fullmatch(name) or name.startswith("__"):
        raise ConfigError(f"{where}: {name} is no name of a label: letters, digits and _, no digit and no __ first")
    if name in taken:
        raise ConfigError(f"{where}: the rules set {name} themselves; choose another name")
    if not shown.strip():
        raise ConfigError(f"{where}: {name} must have a value; Prometheus leaves empty labels out")
    if TEMPLATE in shown:
        raise ConfigError(f"{where}: must be a fixed text, without {TEMPLATE}")
    return shown


def group_by(where: str, names: Collection[object], taken: Collection[str]) -> tuple[str, ...]:
    """Return the labels that distinguish applications. ``taken`` are those of the exporter's series."""
    found = tuple(text(where, name).strip() for name in names)
    wrong = [
        name
        for name in found
        if not LABEL.fullmatch(name) or name.startswith("__") or name.lower() in NUMBERS_OF_PROMQL
    ]
    if wrong:
        raise ConfigError(f"{where}: {wrong[0] or 'nothing'} is no name of a label")
    if len(set(found)) < len(found):
        raise ConfigError(f"{where}: a label stands twice")
    for name in found:
        if name in taken:
            raise ConfigError(f"{where}: {name} distinguishes series of one application; name labels of the targets")
    return found


def selector(where: str, value: object) -> str:
    """Return matchers, as in ``job="celery", cluster=~"eu-.*"``."""
    matchers, position = text(where, value), 0
    if len(matchers) > MAX_SELECTOR:
        raise ConfigError(f"{where}: must be at most {MAX_SELECTOR} characters")
    while position <= len(matchers):
        found = MATCHER.match(matchers, position)
        end = found.end() if found else position
        if found is None or matchers[end : end + 1] not in {"", ","}:
            raise ConfigError(f'--selector: {matchers}: must be matchers, as in job="celery", with quotes')
        name, operator, quoted = found.groups()
        if name.startswith("__"):
            raise ConfigError(f"{where}: {name} can't be matched: the rules name their metrics")
        if operator in {"=~", "!~"}:
            _check_pattern(where, quoted)
        position = end + 1
    return matchers


def url(where: str, value: object) -> str:
    """Return an absolute address without a slash at its end. Links append a path to it."""
    address = text(where, value)
    if not URL.fullmatch(address):
        raise ConfigError(f"{where}: must be an address, as in https://wiki.example/celery, without a fragment")
    return address.rstrip("/")


def object_name(where: str, value: str) -> str:
    """Return the name of a Kubernetes object."""
    if len(value) > MAX_OBJECT_NAME or not OBJECT_NAME.fullmatch(value):
        raise ConfigError(f"{where}: must be at most {MAX_OBJECT_NAME} lower case letters, digits, - and .")
    return value


def rule_object(where: str, rendered: str) -> str:
    """Return a PrometheusRule. It must fit into the ConfigMap that the operator makes from it."""
    size = len(rendered.encode())
    if size > MAX_RULE_OBJECT:
        raise ConfigError(
            f"{where}: {size} bytes, and the operator takes {MAX_RULE_OBJECT} in one object."
            " Render fewer objectives at once"
        )
    return rendered


def uid(where: str, value: str) -> str:
    """Return a Grafana uid."""
    if not UID.fullmatch(value):
        raise ConfigError(f"{where}: must be a uid of Grafana: at most 40 letters, digits, - and _")
    return value


def title(where: str, value: str) -> str:
    """Return a Grafana title."""
    if not value.strip() or len(text(where, value)) > MAX_TITLE:
        raise ConfigError(f"{where}: must be a title of 1 to {MAX_TITLE} characters")
    return value


def _check_pattern(where: str, quoted: str) -> None:
    """Refuse a pattern that RE2, Prometheus's dialect, can't parse. Some rare valid patterns are refused too."""
    pattern = quoted[1:-1]
    if quoted[0] != "`":
        pattern = re.sub(r"\\(.)", lambda found: found[1] if found[1] in "\\\"'" else f"\\{found[1]}", pattern)
    repeated = math.prod(max(int(high or low), 1) for low, high in REPEATED.findall(pattern))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        repeated = MAX_REPEATED + 1
    if repeated > MAX_REPEATED or NOT_RE2.search(pattern.replace("\\\\", "")):
        raise ConfigError(f"{where}: {quoted} is no regular expression that Prometheus reads (RE2)")
