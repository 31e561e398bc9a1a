"""Write the table of alerts/README.md: ``python -m tests.alert_life --write``."""

import sys

from tests.alert_life.table import README, put, troubles_table

if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.alert_life --write")
    README.write_text(put(README.read_text(encoding="utf-8"), "troubles", troubles_table()), encoding="utf-8")
