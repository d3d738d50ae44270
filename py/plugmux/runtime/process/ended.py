"""What is known of the reason where a program has ended before its plugin registered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .scripts import TYPESCRIPT

if TYPE_CHECKING:
    from .run import Run

__all__ = ["why_not_registered"]

RUNS = "plugin.run() in Python, plugmux.Main in Go, await plugin(...) in TypeScript"
AS_JAVASCRIPT = "generate messages as JavaScript (protoc-gen-es with target=js+dts), or compile the plugin (tsc)"
STRIPPING = {
    "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX": f"node strips types and compiles no enum or namespace: {AS_JAVASCRIPT}",
    "ERR_MODULE_NOT_FOUND": f"node imports a .ts file only as .ts, and not as .js: {AS_JAVASCRIPT}",
}
"""What to do about what node says of TypeScript that it cannot run."""


def why_not_registered(process: Run, command: Sequence[str]) -> str:
    """What to add to how a program has ended that has never registered; empty where nothing is known.

    Args:
        process: the program.
        command: what was launched.
    """
    if process.exit_code == 0:
        return f": its program came to its end without running a plugin ({RUNS})"
    if not any(word.endswith(TYPESCRIPT) for word in command):
        return ""
    return "".join(f": {advice}" for sign, advice in STRIPPING.items() if sign in process.stderr_tail)
