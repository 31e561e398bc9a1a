# SPDX-License-Identifier: Apache-2.0
"""Write the tables of alerts/README.md: ``python -m tests.alert_life --write``; takes a few minutes."""

import sys
import tempfile
from pathlib import Path

from tests.alert_life.table import README, evaluate_week, put, troubles_table, week_table

if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.alert_life --write")
    with tempfile.TemporaryDirectory() as folder:
        table = week_table(evaluate_week(Path(folder), "promtool"))
    text = put(README.read_text(encoding="utf-8"), "week", table)
    README.write_text(put(text, "troubles", troubles_table()), encoding="utf-8")
