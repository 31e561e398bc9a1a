# SPDX-License-Identifier: Apache-2.0
"""Accuracy of the memory estimates of key groups, on a simulated server with millions of keys."""
