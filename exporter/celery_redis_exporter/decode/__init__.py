"""Pure functions: bytes and replies in, records and samples out, or a DecodeError with its reason.

Never does I/O, keeps nothing, knows no clock.
"""
