"""Whether something is freed by counting references, without the garbage collector."""

import gc
import weakref
from collections.abc import Callable


class Body:
    """Stands for what takes megabytes."""


def frees_at_once(use: Callable[[Body], None]) -> bool:
    """Tell whether nothing holds a body any more as soon as ``use``, which had it in hand, is done."""

    def call() -> "weakref.ref[Body]":
        body = Body()
        use(body)
        return weakref.ref(body)

    gc.disable()
    try:
        return call()() is None
    finally:
        gc.enable()
