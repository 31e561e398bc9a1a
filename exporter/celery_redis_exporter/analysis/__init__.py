# SPDX-License-Identifier: Apache-2.0
"""Analyze what fills a Redis server's databases, and what should be done about it (``analyze``).

Input: a target of the settings. Output: facts, advice that follows from them, and both as text or JSON. Only reads.
"""
