"""The version of plugmux, as plugins and clients are told it."""

__all__ = ["VERSION"]

VERSION = "v0.1.0"
