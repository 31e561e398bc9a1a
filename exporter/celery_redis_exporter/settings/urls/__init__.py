# SPDX-License-Identifier: Apache-2.0
"""Parse and check the URLs of servers, and read their passwords from files."""
