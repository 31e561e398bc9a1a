"""Map error replies of Redis to the reasons of ``SourceError``.

Redis begins an error with a word for its kind. The error for a client that is not let in begins with ERR, as most
errors do, and is recognized by its text.
"""

_REASONS = {
    "NOPERM": "noperm", "NOAUTH": "auth", "WRONGPASS": "auth", "LOADING": "loading", "MASTERDOWN": "masterdown",
    "BUSY": "busy", "MOVED": "moved", "ASK": "moved", "CLUSTERDOWN": "clusterdown", "DENIED": "denied",
}  # fmt: skip
"""Reasons by the first word of an error."""
_TOO_MANY = ("ERR max number of clients", "max number of clients")
"""The text with and without the word that redis-py removes."""


def reason_of(reply: str) -> str:
    """Return the reason of an error reply. It is ``protocol`` if the error concerns neither server nor permissions."""
    if reply.startswith(_TOO_MANY):
        return "maxclients"
    return _REASONS.get(reply.partition(" ")[0], "protocol")
