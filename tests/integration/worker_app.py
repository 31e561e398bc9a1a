# SPDX-License-Identifier: Apache-2.0
"""What a worker process imports: the application, configured by two environment variables.

Imported by ``celery -A`` alone, never by a test.
"""

import json
import os

from tests.integration.application import build

app = build(os.environ["APPLICATION_BROKER"], json.loads(os.environ["APPLICATION_SETTINGS"]))
