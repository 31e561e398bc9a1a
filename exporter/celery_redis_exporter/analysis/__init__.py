"""``analyze``: what fills a Redis server's databases, and what should be done about it.

Takes a way to a server, gives facts, advice that follows from them, and both as text or JSON. Only reads.
"""
