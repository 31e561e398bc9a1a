# SPDX-License-Identifier: Apache-2.0
"""The application that a worker process imports, configured by two environment variables.

Only ``celery -A`` imports it, never a test.
"""

import json
import os

from tests.integration.application import build

app = build(os.environ["APPLICATION_BROKER"], json.loads(os.environ["APPLICATION_SETTINGS"]))
