# SPDX-License-Identifier: Apache-2.0
"""Test whether an object is freed by reference counting, without the garbage collector."""

import gc
import weakref
from collections.abc import Callable


class Body:
    """Replaces an object of megabytes."""


def frees_at_once(use: Callable[[Body], None]) -> bool:
    """Return whether nothing refers to a body any more as soon as ``use``, which received it, has returned."""

    def call() -> "weakref.ref[Body]":
        body = Body()
        use(body)
        return weakref.ref(body)

    gc.disable()
    try:
        return call()() is None
    finally:
        gc.enable()
