"""Scripts that are run by their suffix: neither a first line (`#!`) nor the run bit is needed.

    .py                      the host's own Python
    .js .mjs .cjs            node
    .ts .mts .cts            node, which strips the types: from 22.6 on by an option, from 22.18 and 23.6 on by itself

A first line decides where it names one interpreter and the file may be executed. `/usr/bin/env python3` names none: it
takes the first on PATH, which has the packages of the host only where its virtual environment is activated.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from ...errors import PluginCause, PluginError
from ...platform import can_be_executed
from ..source import Launch

__all__ = ["TYPESCRIPT", "interpreter_of", "strips_types"]

PYTHON = (".py",)
TYPESCRIPT = (".ts", ".mts", ".cts")
ANY_INTERPRETER = re.compile(rb"#!\s*/usr/bin/env\s+(python3?|node)\s*(\n|$)")
"""A first line that leaves the choice to PATH."""

STRIP_TYPES = "--experimental-strip-types"
NODE_VERSION = re.compile(r"v(\d+)\.(\d+)\.")
NODE_TIME = 10.0
"""Seconds that node may take to tell its version."""

Lookup = Callable[[str], str | None]
"""Finds a program on the plugin's PATH."""


async def interpreter_of(launch: Launch, program: str, first: bytes, find: Lookup) -> list[str]:
    """The words that stand before the path of a script; none where it is executed itself.

    Args:
        launch: what is started.
        program: the whole path of the script.
        first: how the file begins.
        find: finds a program on the plugin's PATH.

    Raises:
        PluginError: there is no interpreter for it.
    """
    if first.startswith(b"#!") and not ANY_INTERPRETER.match(first) and can_be_executed(program):
        return []
    if program.endswith(PYTHON):
        if not sys.executable:
            raise PluginError(
                launch.name,
                PluginCause.MISSING_INTERPRETER,
                f"the host does not know its own Python (sys.executable is empty), which would run {program!r}",
            )
        return [sys.executable]
    node = find("node")
    if node is None:
        raise PluginError(
            launch.name,
            PluginCause.MISSING_INTERPRETER,
            f"{program!r} is run by node, and there is no program 'node' on PATH: install Node.js",
        )
    if not program.endswith(TYPESCRIPT):
        return [node]
    version = await _version(node)
    options = strips_types(version)
    if options is None:
        raise PluginError(
            launch.name,
            PluginCause.MISSING_INTERPRETER,
            f"{program!r} is TypeScript, which {node} ({version or 'of an unknown version'}) cannot run: node does "
            "from 22.6 on. Install a newer one, or compile the plugin (tsc) and give the .js file",
        )
    return [node, *options]


def strips_types(version: str) -> Sequence[str] | None:
    """The options by which a node runs TypeScript; `None` where it cannot.

    Args:
        version: what `node --version` prints, such as `v22.18.0`.
    """
    found = NODE_VERSION.match(version)
    numbers = (int(found[1]), int(found[2])) if found else (0, 0)
    if numbers >= (23, 6) or (22, 18) <= numbers < (23, 0):
        return ()
    return (STRIP_TYPES,) if numbers >= (22, 6) else None


async def _version(node: str) -> str:
    """What node says of its version; empty where it says nothing in time."""
    try:
        asked = await asyncio.create_subprocess_exec(
            node,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(NODE_TIME):
            printed, _ = await asked.communicate()
    except TimeoutError:
        return ""
    finally:
        if asked.returncode is None:
            with suppress(ProcessLookupError):
                asked.kill()
            await asked.wait()
    return printed.decode("ascii", "replace").strip()
