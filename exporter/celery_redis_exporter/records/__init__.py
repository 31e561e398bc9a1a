# SPDX-License-Identifier: Apache-2.0
"""Data that travels between layers: events, samples, replies, inspection replies, the status report.

Data only: nothing here decodes, reads or renders.
"""
