"""The errors that plugmux raises, all in one tree.

    PlugmuxError
    ├── ConfigError                 a setting is out of its range (also a ValueError)
    │   ├── BadConfiguration        a configuration is not what its plugin takes
    │   ├── BadManifest             a manifest cannot be used
    │   ├── BadValue                a value does not satisfy its JSON schema
    │   └── RecipeError             a table of [tool.plugmux.plugins] (plugmux.testing) cannot be used
    ├── StateError                  an object was used before its start or after its end (also a RuntimeError)
    ├── LinkError                   the connection between two peers
    │   ├── SessionClosed           the session has ended, or is ending; `reason` says why
    │   ├── ProtocolViolation       the peer broke a rule of yamux or of HTTP
    │   ├── StreamClosed            this end has closed or reset the stream already
    │   ├── StreamReset             the peer reset the stream, or a time limit did
    │   └── LinkTimeout             a ping, an open or a close took longer than its limit
    ├── ExchangeError               one HTTP exchange failed; `sent` says whether the peer may have acted on it
    │   └── BodyTooLarge            the response's body passed the limit of the call
    ├── RequestTimeout              a call took longer than the runtime allows (also a TimeoutError)
    ├── RpcError                    a call ended with a code other than ok
    ├── ConnectFailed               nothing listens at an address in the network, or another than who was expected
    ├── HandshakeFailed             a TLS connection could not be agreed on; the message says which end refused what
    ├── UntrustedIdentity           a certificate names no identity, or not the one that is expected
    ├── LookupFailed                a name in the network could not be looked up
    ├── DialError                   a plugin that starts by itself found no runtime
    ├── UntrustedPeer               a unix socket belongs to another user; nothing was sent to it
    ├── RegistrationFailed          the runtime refused a plugin, or went away before it had answered
    ├── RegistrationRefused         the registration of a plugin cannot be accepted
    ├── ListenError                 the runtime cannot listen at an address
    ├── BuildError                  a plugin under test (plugmux.testing) could not be built
    │   └── CompilerMissing         the program that builds or runs it is not installed
    ├── RecordingError              a recording of calls (plugmux.testing) cannot be written, read or replayed
    ├── PluginError                 a plugin could not be started, registered or reached; `cause` is a `PluginCause`
    └── SecretsError                the secrets layer
        ├── InvalidPattern          an id or a pattern is not well formed (also a ValueError)
        ├── SecretNotFound          no provider has a secret that matches
        └── ProviderOutage          a required provider, or in strict mode any provider, failed

A *local* fault (a wrong argument, a call in the wrong state) is a `ConfigError`, a `StateError`, a `StreamClosed` or a
built-in `TypeError`. Every other error reports a fault of the peer or of the network, or a time limit. No call raises
an error that another call has caused.
"""

from __future__ import annotations

import signal
from enum import Enum

__all__ = [
    "DOCUMENTATION",
    "TROUBLESHOOTING",
    "BadConfiguration",
    "BodyTooLarge",
    "ConfigError",
    "ExchangeError",
    "LinkError",
    "LinkTimeout",
    "PluginCause",
    "PluginError",
    "PlugmuxError",
    "ProtocolViolation",
    "RequestTimeout",
    "SessionClosed",
    "StateError",
    "StreamClosed",
    "StreamReset",
    "describe_exit",
]


DOCUMENTATION = "https://plugmux.dev/docs"
"""Where the documentation site is. No other address of it stands in the code."""

TROUBLESHOOTING = f"{DOCUMENTATION}/troubleshooting.html"
"""The page that says what errors mean and what helps, with an anchor for each."""

END_OF_STDERR = "\nthe end of its stderr:\n"
"""What stands before the last lines that a plugin wrote, in the text of a `PluginError`."""


class PlugmuxError(Exception):
    """The base class of all errors that plugmux raises on purpose."""


class ConfigError(PlugmuxError, ValueError):
    """A setting is out of its range; the message names the setting, the value and the range."""


class BadConfiguration(ConfigError):
    """A configuration is not what its plugin takes; the message names the path of the bad value."""


class StateError(PlugmuxError, RuntimeError):
    """An object was used before its start, after its end, in a forked process, or in a thread that may not use it."""


class LinkError(PlugmuxError):
    """The connection between two peers, or a stream on it, failed."""


class SessionClosed(LinkError):
    """The session has ended or is ending, so that the operation is not possible any more."""


class ProtocolViolation(LinkError):
    """The peer broke a rule of the protocol; the message names the frame or message, and the rule."""


class StreamClosed(LinkError):
    """This end has closed or reset the stream already."""


class StreamReset(LinkError, ConnectionResetError):
    """The stream was reset, by the peer or by a time limit, before it had ended."""


class LinkTimeout(LinkError, TimeoutError):
    """A ping, an open or a close on the link took longer than its limit."""


class ExchangeError(PlugmuxError):
    """An HTTP exchange broke before its response was complete.

    Args:
        message: what happened.
        sent: whether any byte of the request may have reached the peer. Only an exchange of which nothing was sent may
            be repeated without knowing what the request does.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class BodyTooLarge(ExchangeError):
    """The body of a response passed the limit that the caller had set.

    Args:
        size: bytes that the peer announced, or that were received so far where it announced no length.
        limit: the limit, in bytes.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the response body has {size} bytes or more, over the limit of {limit} bytes", sent=True)
        self.size = size
        self.limit = limit


class RequestTimeout(PlugmuxError, TimeoutError):
    """A call was not answered within the limit that the runtime sets for every call, whatever limit its caller sets."""


class PluginCause(Enum):
    """What went wrong with a plugin: the value is a code for programs, `hint` the advice for a person."""

    NOT_FOUND = "not_found"
    NOT_EXECUTABLE = "not_executable"
    WRONG_ARCHITECTURE = "wrong_architecture"
    MISSING_INTERPRETER = "missing_interpreter"
    NOT_STARTED = "not_started"
    RUNNER_FAILED = "runner_failed"
    EXITED = "exited"
    OVER_LIMIT = "over_limit"
    UNMET = "unmet"
    BAD_MANIFEST = "bad_manifest"
    BAD_CONFIGURATION = "bad_configuration"
    UNTRUSTED = "untrusted"
    CHECKSUM = "checksum"
    LATE = "late"
    REFUSED = "refused"
    NOT_A_PLUGIN = "not_a_plugin"
    LINK_LOST = "link_lost"
    UNREACHABLE = "unreachable"
    HUNG = "hung"
    FAILING = "failing"
    UNFIT = "unfit"
    STOPPED = "stopped"
    NOT_LAUNCHED = "not_launched"
    UNSUPPORTED = "unsupported"
    DISABLED = "disabled"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"

    @property
    def hint(self) -> str:
        """What a person can do about it."""
        return _HINTS[self]

    @property
    def address(self) -> str:
        """Where the documentation says more about it."""
        return f"{TROUBLESHOOTING}#{self.value.replace('_', '-')}"


_HINTS = {
    PluginCause.NOT_FOUND: "check the path, or that the program is on PATH",
    PluginCause.NOT_EXECUTABLE: "make the file executable (chmod +x)",
    PluginCause.WRONG_ARCHITECTURE: "build the plugin for this machine's processor and system",
    PluginCause.MISSING_INTERPRETER: "let the file's first line (#!) name a program that is installed",
    PluginCause.NOT_STARTED: "see the system's reason in the message",
    PluginCause.RUNNER_FAILED: "see the traceback in the log (plugmux.runtime) for what went wrong",
    PluginCause.EXITED: "see its log for why it ended",
    PluginCause.OVER_LIMIT: "see why it uses so much, or raise the limit (limits=...)",
    PluginCause.UNMET: "install a version that fits, or ask for another",
    PluginCause.BAD_MANIFEST: "correct the manifest",
    PluginCause.BAD_CONFIGURATION: "correct the configuration",
    PluginCause.UNTRUSTED: "take the right to write from others (chmod go-w), and let you or root own it (chown)",
    PluginCause.CHECKSUM: "install the plugin again, or correct the checksum if you have changed the file yourself",
    PluginCause.LATE: "give it more time (Launch(timeout=...), or Timeouts.registration for all plugins), or see "
    "what keeps it from registering",
    PluginCause.REFUSED: "correct what the plugin says of itself when it registers",
    PluginCause.NOT_A_PLUGIN: "start a program that serves plugmux; this one writes something else on the link",
    PluginCause.LINK_LOST: "see the plugin's log for why it closed the link",
    PluginCause.UNREACHABLE: "see that it runs, and that it can be reached there; it is dialled again and again",
    PluginCause.HUNG: "see its stacks in its log for what it waits for",
    PluginCause.FAILING: "see its log for why it fails; calls are let through again after a while",
    PluginCause.UNFIT: "correct the new version, and replace the plugin again",
    PluginCause.STOPPED: "start it again (runtime.enable), or make a new runtime where this one is closed",
    PluginCause.NOT_LAUNCHED: "switch it where it was started",
    PluginCause.UNSUPPORTED: "use what the plugin offers, or let it offer this",
    PluginCause.DISABLED: "enable it first (runtime.enable)",
    PluginCause.UNKNOWN: "runtime.plugins() tells the names and services that there are",
    PluginCause.AMBIGUOUS: "name the plugin that is meant (plugin=..., the header plugmux-plugin over HTTP)",
}


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

    def brief(self) -> PluginError:
        """The same error, whose text leaves out the end of stderr: for the cause of an error whose text has it."""
        error = self._copy()
        error.stderr = self.stderr
        return error

    def in_full(self) -> PluginError:
        """The same error, whose text has the end of stderr."""
        return self._copy(self.stderr)

    def _copy(self, stderr: str = "") -> PluginError:
        ended = {"exit_code": self.exit_code, "signal_number": self.signal_number}
        return PluginError(self.plugin, self.cause, self.detail, **ended, stderr=stderr)

    def _message(self) -> str:
        subject = f"plugin {self.plugin!r}: " if self.plugin else ""
        message = f"{subject}{self.detail}; {self.cause.hint} ({self.cause.address})"
        if self.stderr:
            message += END_OF_STDERR + self.stderr
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
