"""Ctrl-C in a command that has something to say already."""

import signal
import threading
from types import FrameType


def stop_on_interrupt(stop: threading.Event) -> None:
    """Set ``stop`` at the first Ctrl-C, so that what was seen so far is reported; end at the second."""

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGINT, handle)
