# SPDX-License-Identifier: Apache-2.0
"""The sizes of random samples, floods and statistics: small ones by default, large ones with ``--thorough``.

``tests/conftest.py`` sets ``thorough`` before it collects tests, so that decorators can use ``scaled``.
"""

thorough = False
"""Whether the tests run with ``--thorough``."""


def scaled(usual: int, large: int) -> int:
    """Return ``large`` with ``--thorough``, else ``usual``."""
    return large if thorough else usual
