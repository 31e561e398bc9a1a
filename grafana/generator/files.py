# SPDX-License-Identifier: Apache-2.0
"""Dashboards in, JSON out.

Takes the boards, gives the files of ``grafana/`` by name. The same boards always give the same bytes.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from grafana.generator.board import Board
from grafana.generator.sdk import JSONEncoder

TARGET = Path(__file__).parents[1]


def render(board: Board) -> str:
    """Render a dashboard: keys sorted, two spaces."""
    return json.dumps(board.build(), cls=JSONEncoder, sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def files(boards: Iterable[Board]) -> dict[str, str]:
    """Give every file by its name."""
    return {f"{board.name}.json": render(board) for board in boards}
