# SPDX-License-Identifier: Apache-2.0
"""The module that worker processes of a truth run import: the application, with the signals that write facts.

Only ``celery -A`` imports it, never a test.
"""

import os

from tests.truth.signals import scribe
from tests.truth.tasks import build

_scribe = scribe()
_scribe.connect()
app = build(os.environ["TRUTH_BROKER"], os.environ["TRUTH_BACKEND"], _scribe)
