# SPDX-License-Identifier: Apache-2.0
"""Choose the format of a response from the Accept headers of its request.

prometheus_client decides between the formats, as in every other Python process that Prometheus scrapes. No header
raises an error, and the response never names a version or an escaping that the body does not have.
"""

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_PLAIN_1_0_0, choose_encoder
from prometheus_client.openmetrics.exposition import ALLOWUTF8, UNDERSCORES
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a response: which text format, its Content-Type, and whether to compress."""

    openmetrics: bool
    content_type: str
    gzip: bool


@lru_cache(maxsize=64)
def negotiate(accept: str, accept_encoding: str) -> Format:
    """Return the format for the values of the headers Accept and Accept-Encoding (empty if the header is absent)."""
    offered = _content_type(accept)
    escaping = offered.partition("; escaping=")[2]
    openmetrics = offered.startswith("application/openmetrics-text")
    if openmetrics:
        content_type = CONTENT_TYPE_OPENMETRICS
    elif offered.startswith(CONTENT_TYPE_PLAIN_1_0_0):
        content_type = CONTENT_TYPE_PLAIN_1_0_0
    else:
        content_type = CONTENT_TYPE_PLAIN_0_0_4
    if escaping:
        # The catalogue's names need no escaping, so underscores and allow-utf-8 result in the same bytes. Dots do not.
        content_type += f"; escaping={escaping if escaping == ALLOWUTF8 else UNDERSCORES}"
    return Format(openmetrics, content_type, gzip=_accepts_gzip(accept_encoding))


def _content_type(accept: str) -> str:
    try:
        return choose_encoder(accept)[1]
    except (TypeError, ValueError):
        # prometheus_client compares the parts of a version with numbers, and fails if a client sends words.
        return CONTENT_TYPE_PLAIN_0_0_4


def _accepts_gzip(accept_encoding: str) -> bool:
    weights: dict[str, float] = {}
    for offer in accept_encoding.split(","):
        coding, *parameters = (part.strip().lower() for part in offer.split(";"))
        weights[coding] = _weight(parameters)
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
