# SPDX-License-Identifier: Apache-2.0
"""Choose the format of a response from the Accept headers of its request.

prometheus_client decides between the text formats, as in every other Python process that Prometheus scrapes. It does
not have the protobuf format, which is chosen here where it is offered and the client prefers it. No header raises an
error, and the response never names a version or an escaping that the body does not have.
"""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_PLAIN_1_0_0, choose_encoder
from prometheus_client.openmetrics.exposition import ALLOWUTF8, UNDERSCORES
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS

PROTOBUF = "application/vnd.google.protobuf"
PROTOBUF_PARAMETERS = ("proto=io.prometheus.client.metricfamily", "encoding=delimited")
CONTENT_TYPE_PROTOBUF = f"{PROTOBUF}; proto=io.prometheus.client.MetricFamily; encoding=delimited"
READABLE = ("application/openmetrics-text", "text/plain", "text/*", "*/*")
"""What is answered by one of the text formats."""


class Syntax(Enum):
    """How a body is written."""

    TEXT = "text 0.0.4"
    OPENMETRICS = "OpenMetrics"
    PROTOBUF = "protobuf"


@dataclass(frozen=True, slots=True)
class Format:
    """The format of a response: its syntax, its Content-Type, and whether to compress."""

    syntax: Syntax
    content_type: str
    gzip: bool


@lru_cache(maxsize=64)
def negotiate(accept: str, accept_encoding: str, *, protobuf: bool = False) -> Format:
    """Return the format for the values of the headers Accept and Accept-Encoding (empty if the header is absent).

    ``protobuf`` states whether that format is offered.
    """
    gzip = _accepts_gzip(accept_encoding)
    if protobuf and _prefers_protobuf(accept):
        return Format(Syntax.PROTOBUF, CONTENT_TYPE_PROTOBUF, gzip)
    return _negotiate_text(accept, gzip=gzip)


def _negotiate_text(accept: str, *, gzip: bool) -> Format:
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
    return Format(Syntax.OPENMETRICS if openmetrics else Syntax.TEXT, content_type, gzip)


def _prefers_protobuf(accept: str) -> bool:
    """Return whether protobuf has the largest weight of what can be served; of equal ones the first counts."""
    chosen, most = False, 0.0
    for offer in accept.split(","):
        media, *parameters = ("".join(part.split()).lower().replace('"', "") for part in offer.split(";"))
        is_protobuf = media == PROTOBUF and all(part in parameters for part in PROTOBUF_PARAMETERS)
        if (is_protobuf or media in READABLE) and _weight(parameters) > most:
            chosen, most = is_protobuf, _weight(parameters)
    return chosen


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
