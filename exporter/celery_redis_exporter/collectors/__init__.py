"""Background loops that connect source, decode and state: events, control replies, queues, nodes, schedules, key space.

Each one is a class with a `run(stop, works)` method, which the supervisor calls in a thread of its own.
"""
