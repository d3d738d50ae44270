"""Names that a package offers, and whose modules it imports when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Mapping

__all__ = ["import_name"]


def import_name(package: str, homes: Mapping[str, str], name: str) -> object:
    """Import a name of a package, which has it from then on: what the package's `__getattr__` gives.

    Args:
        package: the package's own name.
        homes: the modules of all such names, as a relative import names them (`".runtime"`, `"..errors"`).
        name: what is asked for.

    Raises:
        AttributeError: the package has no such name.
    """
    home = homes.get(name)
    if home is None:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home, package), name)
    setattr(sys.modules[package], name, value)
    return value
