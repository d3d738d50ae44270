"""The addresses at which a runtime listens: `unix:/path` or `unix:@abstract`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple, Self

from ..errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Address"]

MAX_UNIX_PATH = 107 if sys.platform.startswith("linux") else 103
"""The most bytes of a socket's name, without the terminating zero."""


class Address(NamedTuple):
    """The address of a unix socket.

    Args:
        name: a path in the file system, or a name in Linux' abstract name space with a leading `@`.
    """

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address as a person writes it.

        Raises:
            ConfigError: the form is not known, or the name is longer than the system allows.
        """
        scheme, separator, name = text.partition(":")
        if not separator:
            scheme, name = "unix", text
        name = name.removeprefix("//")
        known = scheme == "unix" and (
            "/" in name or name.startswith("@")
        )  # A name without a slash is probably a mistake.
        if not known or name == "@" or "\0" in name:
            raise ConfigError(f"the address {text!r} is not valid: write unix:/path or unix:@name")
        if name.startswith("@") and not sys.platform.startswith("linux"):
            raise ConfigError(
                f"the address {text!r} is abstract, and only Linux has abstract sockets: write unix:/path"
            )
        size = len(os.fsencode(name))
        if size > MAX_UNIX_PATH:
            raise ConfigError(
                f"the socket name {name!r} has {size} bytes, and this system allows {MAX_UNIX_PATH}: "
                "choose a shorter path"
            )
        return cls(name)

    @property
    def is_abstract(self) -> bool:
        """Whether the name is in the abstract name space, so that there is no file."""
        return self.name.startswith("@")

    @property
    def sockaddr(self) -> str:
        """The address in the form of the socket module."""
        return "\0" + self.name[1:] if self.is_abstract else self.name

    @property
    def path(self) -> Path | None:
        """The path of the socket's file; `None` for an abstract name."""
        from pathlib import Path  # few programs need it, and a plugin must start fast

        return None if self.is_abstract else Path(self.name)

    def __str__(self) -> str:
        return f"unix:{self.name}"
