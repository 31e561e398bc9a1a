# SPDX-License-Identifier: Apache-2.0
"""Decode bytes and replies into records and samples, or raise a DecodeError with its reason.

All functions are pure: no I/O, no state, no clock.
"""
