# SPDX-License-Identifier: Apache-2.0
"""Run ``python -m celery_redis_exporter``, which is the same as the console script."""

from celery_redis_exporter.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
