"""The inspector: a page in the browser over a runtime's own services (`plugmux ui`).

browser ── http on loopback ── Page ── unix socket ── the runtime's services
                                └── Calls ── the plugins' services, secrets masked
"""

from __future__ import annotations

from .page import Page
from .server import PageServer

__all__ = ["Page", "PageServer"]
