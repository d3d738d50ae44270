"""How a plugin is started: two small protocols, of which a process on this machine is one form (`process`).

A runner knows nothing of what crosses the link; it only brings it about. Whatever it starts has an end that can be
waited for, asked for and forced, and can tell why it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...link.link import Link
    from ..logs.log import PluginLog
    from ..source import Launch

__all__ = ["Run", "Runner"]


class Runner(Protocol):
    """Starts plugins: `Launch(command, runner=...)`. One runner may serve many launches at the same time.

    Attributes:
        outlives_runtime: whether what it starts lives on when the runtime closes.
        single_instance: whether it runs one process of each plugin name, and so no replicas.
        untimed: whether what it starts may stand still for as long as it likes, as in a debugger: no time limit holds.
    """

    outlives_runtime: bool = False
    single_instance: bool = False
    untimed: bool = False

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        """Start a plugin.

        Args:
            launch: what to start.
            timeout: seconds for its registration, to be told to the plugin.
            log: takes what it prints.

        Raises:
            PluginError: it could not be started; nothing is left of it then.
        """
        ...


class Run(Protocol):
    """One run of a launched plugin, from its start to its end."""

    @property
    def pid(self) -> int | None:
        """The process id on this machine, `None` where there is none."""
        ...

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        ...

    @property
    def exit_code(self) -> int | None:
        """The exit status, `None` while it runs or when a signal ended it."""
        ...

    @property
    def signal_number(self) -> int | None:
        """The signal that ended it, if one did."""
        ...

    @property
    def stderr_tail(self) -> str:
        """The last lines that it wrote on stderr."""
        ...

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link, once. Where the plugin dials, this returns before it has done so."""
        ...

    async def wait(self) -> None:
        """Wait for it to end and for the last of its output. It may be cancelled at will."""
        ...

    def terminate(self) -> None:
        """Ask it to end; harmless when it has ended."""
        ...

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        ...

    def diagnose(self) -> None:
        """Ask it to write on stderr where its threads stand (SIGQUIT on Unix). It may end by that."""
        ...

    @property
    def over_limit(self) -> str | None:
        """The limit of its launch that ended it, in words that tell what it did; `None` where none seems to have."""
        ...
