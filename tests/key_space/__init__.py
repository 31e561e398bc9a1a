# SPDX-License-Identifier: Apache-2.0
"""How well the memory of key groups is estimated, on a simulated server of millions of keys."""
