# SPDX-License-Identifier: Apache-2.0
"""``python -m grafana.generator --write``: write the dashboards."""

import sys

from grafana.generator import BOARDS
from grafana.generator.files import TARGET, files

if sys.argv[1:] != ["--write"]:
    sys.exit("usage: python -m grafana.generator --write")
for name, text in files(BOARDS).items():
    (TARGET / name).write_text(text, encoding="utf-8")
