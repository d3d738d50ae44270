"""Runtimes whose time limits are short unless a test gives others: for plugins that never end by themselves."""

from __future__ import annotations

import pytest

from plugmux import Policies, Runtime, Timeouts

__all__ = ["shorten_timeouts"]


def shorten_timeouts(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Give every runtime that has default policies this many seconds for each step of closing a plugin."""
    limits = Timeouts(shutdown=seconds, drain=seconds, exit=seconds, terminate=seconds, post_mortem=seconds)
    defaults = {**(Runtime.__init__.__kwdefaults__ or {}), "policies": Policies(timeouts=limits)}
    monkeypatch.setattr(Runtime.__init__, "__kwdefaults__", defaults)
