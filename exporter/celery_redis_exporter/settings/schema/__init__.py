# SPDX-License-Identifier: Apache-2.0
"""Define the settings as pydantic models: every name, type, default and description, once."""
