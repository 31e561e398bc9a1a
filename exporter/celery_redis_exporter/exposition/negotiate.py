"""A request's Accept headers in, the format of the answer out.

prometheus_client decides between the formats, as it does in every other Python process that Prometheus scrapes.
Never raises for a header, however odd; never answers with a version or an escaping that the body does not have.
"""

from dataclasses import dataclass
from functools import lru_cache

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, CONTENT_TYPE_PLAIN_1_0_0, choose_encoder
from prometheus_client.openmetrics.exposition import ALLOWUTF8, UNDERSCORES
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE_OPENMETRICS


@dataclass(frozen=True, slots=True)
class Format:
    """How to answer: which text format, what to call it in Content-Type, and whether to compress."""

    openmetrics: bool
    content_type: str
    gzip: bool


@lru_cache(maxsize=64)
def negotiate(accept: str, accept_encoding: str) -> Format:
    """Choose the format for the values of the headers Accept and Accept-Encoding (empty: header absent)."""
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
        # The catalogue's names need no escaping, so underscores and allow-utf-8 are the same bytes; dots are not.
        content_type += f"; escaping={escaping if escaping == ALLOWUTF8 else UNDERSCORES}"
    return Format(openmetrics, content_type, gzip=_accepts_gzip(accept_encoding))


def _content_type(accept: str) -> str:
    try:
        return choose_encoder(accept)[1]
    except (TypeError, ValueError):
        # It compares the numbers of a version with words, if a client sends words.
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
