# SPDX-License-Identifier: Apache-2.0
"""For all unit tests: the parser of flags is made once, because hundreds of tests read settings."""

from functools import lru_cache

from celery_redis_exporter.settings.read import flags

flags.command_line = lru_cache(flags.command_line)
