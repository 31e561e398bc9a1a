# SPDX-License-Identifier: Apache-2.0
"""Not a package: ``exporter/`` holds the source of ``celery_redis_exporter`` and is not installed.

From the root of the repository Python would import this folder as a namespace package, and the package in it a second
time as ``exporter.celery_redis_exporter``, with a second copy of every object. This file refuses that.
"""

raise ImportError("exporter/ is the source folder, not a package: import celery_redis_exporter")
