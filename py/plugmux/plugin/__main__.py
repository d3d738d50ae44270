"""`python -m plugmux.plugin MODULE:OBJECT`: runs a plugin that is an object of a module.

The object is a `Plugin`, what a `Plugin` serves, or a function or class without arguments that gives one of these. A
module that runs its plugin itself, when it is imported, is left to do so.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Never

from .plugin import Plugin

__all__ = ["main"]

WRONG_USAGE = 2


def main(arguments: list[str]) -> None:
    """Run the plugin that the arguments name.

    Raises:
        SystemExit: there is no such plugin, or as `Plugin.run` does.
    """
    if not arguments or ":" not in arguments[0]:
        _end("usage: python -m plugmux.plugin MODULE:OBJECT [ARGUMENT]...")
    target = arguments[0]
    sys.argv = arguments
    module, _, path = target.partition(":")
    found = _imported(module, target)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = ", ".join(name for name, value in vars(found).items() if isinstance(value, Plugin))
            _end(f"{target}: {module} has no {path!r}" + (f"; of its names, {known} is a plugin" if known else ""))
    plugin = _as_plugin(found, target)
    if plugin is not None and plugin.link is None:  # Otherwise its module has run it.
        plugin.run()


def _imported(module: str, target: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # A module that it imports is missing.
        _end(f"{target}: there is no module {error.name!r} in {', '.join(sys.path)}")


def _as_plugin(found: Any, target: str) -> Plugin | None:
    """The plugin that an object stands for; `None` where a function has run it."""
    if isinstance(found, Plugin):
        return found
    if callable(found):
        found = found()
        if found is None:
            return None
    if isinstance(found, Plugin):
        return found
    try:
        return Plugin(found)
    except Exception as error:
        _end(f"{target} is no plugin, and nothing that a plugin serves: {error}")


def _end(message: str) -> Never:
    print(f"plugmux: {message}", file=sys.stderr)
    raise SystemExit(WRONG_USAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
