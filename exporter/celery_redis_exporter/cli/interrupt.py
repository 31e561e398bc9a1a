# SPDX-License-Identifier: Apache-2.0
"""Handle Ctrl-C in a command that can already report results."""

import signal
import threading
from types import FrameType


def stop_on_interrupt(stop: threading.Event) -> None:
    """Set ``stop`` at the first Ctrl-C, so that the results so far are reported. The second one ends the process."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGINT, handle)
