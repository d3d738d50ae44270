"""The `plugmux` command: results on stdout, everything else on stderr.

One module per command, each with `add(commands)`, which declares its arguments, and an asynchronous `run(options)`,
which returns the exit status: 0, 1 for a failure, 2 for wrong usage. What a command needs is imported when it runs, so
that `plugmux --help` is quick.
"""

from .program import main

__all__ = ["main"]
