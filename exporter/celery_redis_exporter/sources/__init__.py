"""I/O only: connections to the servers, raw bytes and replies.

Raises SourceError with a reason; knows no metric and decodes nothing.
"""
