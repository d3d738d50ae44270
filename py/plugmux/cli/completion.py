"""What a shell is told when the user presses the tab key: commands and options, and the names that a runtime knows.

The parser knows commands and options. Names of plugins, services and methods are asked of the runtime that the command
would ask; nothing is launched for a completion. A runtime that is not there, or does not answer in time, completes
nothing: a shell has no place for the reason, which `_ARC_DEBUG=1` shows.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ..errors import PlugmuxError
from .target import Target, open_target

__all__ = ["complete"]

PATIENCE = 5.0
"""Seconds that the runtime may take."""

Names: TypeAlias = Callable[[Target, str], Awaitable[list[str]]]
"""The names of one kind, from a target, for what has been typed so far."""


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end the process, where a shell asks; the variables that argcomplete's scripts set say so.

    Args:
        parser: the whole command line's.
    """
    try:
        import argcomplete
    except ImportError:  # The shell's script is still there, and the package is not.
        raise SystemExit(1) from None
    for name, command in _subparsers(parser).items():
        for action in command._actions:
            if (names := COMPLETED.get((name, action.dest))) is not None:
                action.completer = _completer(names)  # type: ignore[attr-defined]  # argcomplete reads it
    argcomplete.autocomplete(parser, always_complete_options=False)


async def _plugins(target: Target, typed: str) -> list[str]:
    return [plugin.name for plugin in await target.plugins()]


async def _methods(target: Target, typed: str) -> list[str]:
    """Every service with a slash behind it; behind the slash, its methods."""
    from ..dynamic.schema import find_service

    service, slash, _ = typed.partition("/")
    serving = {each: plugin.name for plugin in await target.plugins() for each in plugin.services if not plugin.idle}
    if not slash:
        return [f"{each}/" for each in serving]
    described = await find_service(target.transport(serving[service]), service) if service in serving else None
    return [] if described is None else [f"{service}/{method.name}" for method in described.methods]


async def _services_and_methods(target: Target, typed: str) -> list[str]:
    found = await _methods(target, typed)
    return [each.removesuffix("/") for each in found if each.endswith("/")] + found


COMPLETED: dict[tuple[str, str], Names] = {
    ("call", "method"): _methods,
    ("call", "name"): _plugins,
    ("describe", "name"): _services_and_methods,
    ("describe", "chosen"): _plugins,
    ("logs", "name"): _plugins,
    ("plugins", "name"): _plugins,
}
"""Which argument of which command takes which names."""


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def _completer(names: Names) -> Callable[..., list[str]]:
    def completions(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        import asyncio

        from argcomplete.io import debug

        if getattr(parsed_args, "plugin", None):
            return []  # It would have to be launched.
        if getattr(parsed_args, "action", "") is None:
            return []  # What is to be done comes before the name that it is done to.
        parsed_args.plugin = []
        try:
            return asyncio.run(_ask(names, prefix, parsed_args))
        except (PlugmuxError, OSError) as error:  # TimeoutError is an OSError.
            debug(f"no completions: {error}")
            return []

    return completions


async def _ask(names: Names, typed: str, options: argparse.Namespace) -> list[str]:
    import asyncio

    async with asyncio.timeout(PATIENCE), open_target(options) as target:
        return await names(target, typed)
