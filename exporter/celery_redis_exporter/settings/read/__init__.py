# SPDX-License-Identifier: Apache-2.0
"""Read settings from flags, environment and files, validate them, and explain in one line what is wrong."""
