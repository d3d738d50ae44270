"""The link of a launched plugin on Windows: two one-way pipes, whose handles the plugin inherits. (wire.md section 2.)

**This file was written from the documentation and type-checked for Windows. It has not been run there.** It holds all
code that is specific to Windows; the rest of the package has not been run there either.

On Windows a process inherits handles instead of descriptors, and only those that its parent lists. asyncio reads and
writes pipes by overlapped I/O there, which must be enabled when a pipe is made: `asyncio.windows_utils.pipe` does that.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import os
    import subprocess
    from asyncio import windows_utils
    from collections.abc import Mapping, Sequence
    from dataclasses import dataclass

    from .launch import LaunchConfig

    __all__ = ["Ends", "claim", "link_pipes", "start"]

    @dataclass(frozen=True, slots=True)
    class Ends:
        """One side's handles of a pair of pipes; `pipes.open_pipe_pair` makes them one transport.

        Args:
            reading: the handle to read from.
            writing: the handle to write to.
        """

        reading: windows_utils.PipeHandle
        writing: windows_utils.PipeHandle

        def close(self) -> None:
            """Close both."""
            self.reading.close()
            self.writing.close()

    def link_pipes() -> tuple[Ends, Ends]:
        """Make two pipes; return the runtime's ends and the plugin's ends."""
        from_plugin, to_runtime = windows_utils.pipe(overlapped=(True, True))
        from_runtime, to_plugin = windows_utils.pipe(overlapped=(True, True))
        return (
            Ends(windows_utils.PipeHandle(from_plugin), windows_utils.PipeHandle(to_plugin)),
            Ends(windows_utils.PipeHandle(from_runtime), windows_utils.PipeHandle(to_runtime)),
        )

    def start(
        argv: Sequence[str], environ: Mapping[str, str], name: str, timeout: float, theirs: Ends
    ) -> subprocess.Popen[bytes]:
        """Start a plugin that inherits its ends of the link and nothing else, in a process group of its own.

        Args:
            argv: the program and its arguments.
            environ: its environment; the launch configuration is added.
            name: the plugin's name.
            timeout: seconds for its registration.
            theirs: its ends, which are closed here after it has inherited them.

        Raises:
            OSError: it could not be started.
        """
        handles = [theirs.reading.handle, theirs.writing.handle]
        config = LaunchConfig(name, timeout, theirs.reading.handle, theirs.writing.handle)
        try:
            for handle in handles:
                os.set_handle_inheritable(handle, True)
            return subprocess.Popen(  # noqa: S603 -- the host decides what to run
                list(argv),
                env={**environ, **config.to_environ()},
                stdin=subprocess.DEVNULL,
                startupinfo=subprocess.STARTUPINFO(lpAttributeList={"handle_list": handles}),
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
            )
        finally:
            theirs.close()

    def claim(config: LaunchConfig) -> Ends:
        """Take over the handles that this plugin has inherited, so that its own children do not inherit them."""
        for handle in (config.read_fd, config.write_fd):
            os.set_handle_inheritable(handle, False)
        return Ends(windows_utils.PipeHandle(config.read_fd), windows_utils.PipeHandle(config.write_fd))
