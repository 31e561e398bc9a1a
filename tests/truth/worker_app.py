# SPDX-License-Identifier: Apache-2.0
"""What a worker process of a truth run imports: the application, with the signals that write the truth.

Imported by ``celery -A`` alone, never by a test.
"""

import os

from tests.truth.signals import scribe
from tests.truth.tasks import build

_scribe = scribe()
_scribe.connect()
app = build(os.environ["TRUTH_BROKER"], os.environ["TRUTH_BACKEND"], _scribe)
