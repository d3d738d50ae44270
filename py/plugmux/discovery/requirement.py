"""A plugin that is asked for by name and versions: `kv@^1.2`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..contract.registration import NAME
from ..contract.semver import Range

__all__ = ["Requirement"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A plugin that is wanted by name and version: `kv@^1.2`, `kv@1.4.0`, `kv@*`.

    Args:
        name: the plugin's name.
        range: the versions that will do.
        options: fields of the `Launch` that it becomes, over those of its manifest.
    """

    name: str
    range: Range
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Requirement | None:
        """Read a requirement; `None` if the text is a path or a command.

        Raises:
            ConfigError: the text behind the "@" is not a range of versions.
        """
        name, at, versions = text.strip().rpartition("@")
        if not at or not NAME.fullmatch(name) or os.path.exists(text):
            return None
        return cls(name, Range.parse(versions))

    def __str__(self) -> str:
        return f"{self.name}@{self.range}"
