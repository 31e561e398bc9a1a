# SPDX-License-Identifier: Apache-2.0
"""The alerts that the example configuration of Alertmanager inhibits; no notification is sent for them."""

import re
from collections.abc import Iterable
from pathlib import Path

from tests.support import yaml_text

EXAMPLE = Path(__file__).parents[2] / "alerts" / "alertmanager" / "alertmanager.example.yml"
RULES = yaml_text.parse(EXAMPLE.read_text(encoding="utf-8"))["inhibit_rules"]
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"?(.*?)"?$')


def is_inhibited(labels: dict[str, str], others: Iterable[dict[str, str]]) -> bool:
    """Return whether an alert with these labels is inhibited by one of the other firing alerts."""
    for rule in RULES:
        if _matches(rule["target_matchers"], labels):
            for other in others:
                alike = all(labels.get(name, "") == other.get(name, "") for name in rule["equal"])
                if alike and other != labels and _matches(rule["source_matchers"], other):
                    return True
    return False


def _matches(matchers: Iterable[str], labels: dict[str, str]) -> bool:
    for matcher in matchers:
        found = _MATCHER.fullmatch(matcher)
        assert found, matcher
        name, operator, pattern = found.groups()
        value = labels.get(name, "")
        is_like = bool(re.fullmatch(pattern, value)) if "~" in operator else value == pattern
        if is_like == operator.startswith("!"):
            return False
    return True
