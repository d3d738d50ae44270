"""The version of plugmux that plugins and clients see, and whether this is a compiled build of it."""

from typing import Final

__all__ = ["COMPILED", "VERSION"]

VERSION: Final = "v0.1.0"

COMPILED: Final[bool] = not __file__.endswith(".py")
"""Whether the hot modules run compiled. This module is compiled with them."""
