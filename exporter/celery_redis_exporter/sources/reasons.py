"""Reasons of error replies: the words that ``SourceError`` has for what a server says.

Redis begins an error with a word for its kind. What it says to a client that it lets not in begins with ERR, as most
errors do, and is known by its text.
"""

_REASONS = {
    "NOPERM": "noperm", "NOAUTH": "auth", "WRONGPASS": "auth", "LOADING": "loading", "MASTERDOWN": "masterdown",
    "BUSY": "busy", "MOVED": "moved", "ASK": "moved", "CLUSTERDOWN": "clusterdown", "DENIED": "denied",
}  # fmt: skip
"""Reasons by the first word of an error."""
_TOO_MANY = ("ERR max number of clients", "max number of clients")
"""With and without the word that redis-py takes off."""


def reason_of(reply: str) -> str:
    """Return the reason of an error reply; ``protocol`` if it says nothing of the server or of permissions."""
    if reply.startswith(_TOO_MANY):
        return "maxclients"
    return _REASONS.get(reply.partition(" ")[0], "protocol")
