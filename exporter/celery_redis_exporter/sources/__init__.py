# SPDX-License-Identifier: Apache-2.0
"""Do all I/O: connections to the servers, raw bytes and replies.

Raises SourceError with a reason. Decodes nothing, and contains no metrics.
"""
