"""What the runtime knows of a plugin that a runner has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["Run"]


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
        """Connect the runtime's end of the link. Where the plugin dials, this returns before it has done so.

        It is called once; and with another link each time that a plugin of another machine (`Runner.address`) has lost
        its link.
        """
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
