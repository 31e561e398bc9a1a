# SPDX-License-Identifier: Apache-2.0
"""Hide the differences between Redis, Sentinel and other kombu transports: events, queue reads, control commands.

Input: settings. Output: objects that collectors and scrape use without knowing which broker they read.
"""
