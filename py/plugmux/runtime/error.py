"""Why a plugin is not at work: one error class with a cause that a program can switch on."""

from __future__ import annotations

import signal
from enum import Enum

from ..errors import PlugmuxError

__all__ = ["PluginCause", "PluginError"]


class PluginCause(Enum):
    """What went wrong with a plugin; the value is what a person is told to do."""

    NOT_FOUND = "check the path, or that the program is on PATH"
    NOT_EXECUTABLE = "make the file executable (chmod +x)"
    WRONG_ARCHITECTURE = "build the plugin for this machine's processor and system"
    MISSING_INTERPRETER = "let the file's first line (#!) name a program that is installed"
    NOT_STARTED = "see the system's reason in the message"
    RUNNER_FAILED = "see the traceback in the log (plugmux.runtime) for what went wrong"
    EXITED = "run it by hand with the same arguments to see why it ends"
    OVER_LIMIT = "see why it uses so much, or raise the limit (limits=...)"
    UNMET = "install a version that fits, or ask for another"
    BAD_MANIFEST = "correct the manifest"
    BAD_CONFIGURATION = "correct the configuration"
    UNTRUSTED = "take the right to write from others (chmod go-w), and let you or root own it (chown)"
    CHECKSUM = "install the plugin again, or correct the checksum if you have changed the file yourself"
    LATE = "give it more time (timeout=...), or see what keeps it from registering"
    REFUSED = "correct what the plugin says of itself when it registers"
    NOT_A_PLUGIN = "start a program that serves plugmux; this one writes something else on the link"
    LINK_LOST = "see the plugin's log for why it closed the link"
    HUNG = "see its stacks in its log for what it waits for"
    FAILING = "see its log for why it fails; calls are let through again after a while"
    UNFIT = "correct the new version, and replace the plugin again"
    STOPPED = "start it again (plugmux plugins enable NAME), or make a new runtime where this one is closed"
    NOT_LAUNCHED = "switch it where it was started"
    UNSUPPORTED = "use what the plugin offers, or let it offer this"
    DISABLED = "enable it first (plugmux plugins enable NAME)"
    UNKNOWN = "see plugmux plugins for the names and services that there are"
    AMBIGUOUS = "name the plugin that is meant (plugin=...)"


class PluginError(PlugmuxError):
    """A plugin could not be started, registered or reached.

    Args:
        plugin: the plugin's name; empty where no plugin can be named.
        cause: what kind of failure it is.
        detail: what happened, for a person.
        exit_code: the exit status of a plugin that ended by itself.
        signal_number: the signal that ended it.
        stderr: the last lines that it wrote on stderr.
    """

    def __init__(
        self,
        plugin: str,
        cause: PluginCause,
        detail: str,
        *,
        exit_code: int | None = None,
        signal_number: int | None = None,
        stderr: str = "",
    ) -> None:
        self.plugin = plugin
        self.cause = cause
        self.detail = detail
        self.exit_code = exit_code
        self.signal_number = signal_number
        self.stderr = stderr
        super().__init__(self._message())

    def _message(self) -> str:
        subject = f"plugin {self.plugin!r}: " if self.plugin else ""
        message = f"{subject}{self.detail}; {self.cause.value}"
        if self.stderr:
            message += "\nits last words on stderr:\n" + self.stderr
        return message


def describe_exit(exit_code: int | None, signal_number: int | None) -> str:
    """How a process ended, in words."""
    if exit_code is None and signal_number is None:
        return "ended"
    if signal_number is None:
        return f"exited with status {exit_code}"
    try:
        return f"was ended by {signal.Signals(signal_number).name}"
    except ValueError:
        return f"was ended by signal {signal_number}"
