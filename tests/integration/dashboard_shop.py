# SPDX-License-Identifier: Apache-2.0
"""The sample shop of the demo, with a scheduler that answers pings and a task that rejects its messages.

Input: Celery's own environment variables. Output: ``app``. Only the tests of the dashboards use it.
"""

from celery.exceptions import Reject

from celery_redis_exporter.demo.application import build_application


def _refuse(order: int) -> None:
    raise Reject(f"order {order} is none", requeue=False)


app = build_application()
app.conf.update(beat_enable_remote_control=True, beat_max_loop_interval=1)
app.task(_refuse, name="shop.import_order", acks_late=True)
