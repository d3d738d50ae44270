"""The version of plugmux that plugins and clients see."""

__all__ = ["VERSION"]

VERSION = "v0.1.0"
