# SPDX-License-Identifier: Apache-2.0
"""Map error replies of Redis to the reasons of ``SourceError``.

Redis begins an error with a word for its kind. The errors for a client that is not let in, and some for a wrong
password, begin with ERR, as most errors do, and are recognized by their text.
"""

_REASONS = {
    "NOPERM": "noperm", "NOAUTH": "auth", "WRONGPASS": "auth", "LOADING": "loading", "MASTERDOWN": "masterdown",
    "BUSY": "busy", "MOVED": "moved", "ASK": "moved", "CLUSTERDOWN": "clusterdown", "DENIED": "denied",
}  # fmt: skip
"""Reasons by the first word of an error."""
_TOO_MANY = "ERR max number of clients"
_NO_PASSWORD = ("ERR invalid password", "ERR Client sent AUTH", "ERR AUTH <password> called without")
"""Answers to AUTH before Redis 6, and of a server that has no password."""


def reason_of(reply: str) -> str:
    """Return the reason of an error reply. It is ``protocol`` if the error concerns neither server nor permissions."""
    if reply.startswith(_TOO_MANY):
        return "maxclients"
    if reply.startswith(_NO_PASSWORD):
        return "auth"
    return _REASONS.get(reply.partition(" ")[0], "protocol")
