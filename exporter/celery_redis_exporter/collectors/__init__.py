# SPDX-License-Identifier: Apache-2.0
"""Run the background loops: events, control replies, queues, cluster nodes, schedules, key space, memory, state file.

Each loop is a class with a `run(stop, works)` method, which the supervisor calls in a dedicated thread. A loop connects
a source, its decoder and the state.
"""
