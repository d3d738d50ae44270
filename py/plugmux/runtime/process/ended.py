"""What is told of a program that has ended by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import describe_exit

if TYPE_CHECKING:
    from .run import Run

__all__ = ["describe_end"]

RUNS = "plugin.run() in Python, plugmux.Main in Go, await plugin(...) in TypeScript"
TYPESCRIPT = (".ts", ".mts", ".cts")
AS_JAVASCRIPT = "generate messages as JavaScript (protoc-gen-es with target=js+dts), or compile the plugin (tsc)"
STRIPPING = {
    "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX": f"node strips types and compiles no enum or namespace: {AS_JAVASCRIPT}",
    "ERR_MODULE_NOT_FOUND": f"node imports a .ts file only as .ts, and not as .js: {AS_JAVASCRIPT}",
}
"""What to do about what node says of TypeScript that it cannot run."""


def describe_end(process: Run, when: str, command: Sequence[str], *, registered: bool) -> str:
    """How a plugin's program has ended, and what is known of the reason.

    Args:
        process: the program.
        when: what it was doing.
        command: what was launched.
        registered: whether the plugin has ever registered.
    """
    said = f"it {describe_exit(process.exit_code, process.signal_number)} {when}"
    if process.exit_code == 0 and not registered:
        said += f": its program came to its end without running a plugin ({RUNS})"
    if not process.stderr_tail:
        said += ", and wrote nothing on stderr"
    elif not registered and any(word.endswith(TYPESCRIPT) for word in command):
        said += "".join(f"; {advice}" for sign, advice in STRIPPING.items() if sign in process.stderr_tail)
    return said
