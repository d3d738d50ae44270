"""`plugmux completion SHELL`: the script by which a shell completes the command line."""

from __future__ import annotations

import argparse
from typing import Any

from ...errors import PlugmuxError
from ..output import write_text

__all__ = ["add", "run"]

SHELLS = ("bash", "zsh", "fish")


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion",
        help="print the script by which a shell completes this command",
        description="Print the script by which a shell completes commands, options, and the plugins, services and "
        'methods of a runtime. In bash and zsh: eval "$(plugmux completion bash)"; in fish: plugmux completion fish | '
        "source. It needs `pip install 'plugmux[completion]'`.",
        allow_abbrev=False,
    )
    parser.add_argument("shell", metavar="|".join(SHELLS), choices=SHELLS)
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    try:
        from argcomplete.shell_integration import shellcode
    except ImportError:
        raise PlugmuxError("completion needs argcomplete: pip install 'plugmux[completion]'") from None
    write_text(shellcode(["plugmux"], shell=options.shell).strip("\n"))
    return 0
