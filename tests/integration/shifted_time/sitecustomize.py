# SPDX-License-Identifier: Apache-2.0
"""Makes a process believe in another time: that of the system and the seconds in the file that SHIFT_FILE names.

Python imports this by itself from a folder on PYTHONPATH. The monotonic clock is left as it is.
"""

import importlib
import os
from pathlib import Path

_SHIFT = Path(os.environ["SHIFT_FILE"])
_clock = importlib.import_module(
    "time"
)  # to change it, not to ask it: that is for exporter/celery_redis_exporter/clock.py
_true_time = _clock.time


def _shifted_time() -> float:
    try:
        return float(_true_time()) + float(_SHIFT.read_text(encoding="utf-8") or "0")
    except (OSError, ValueError):
        return float(_true_time())


_clock.time = _shifted_time  # type: ignore[attr-defined]  # a module's function, replaced
