"""The errors that plugmux raises, all in one tree.

    PlugmuxError
    ├── ConfigError                 a setting is out of its range (also a ValueError)
    │   ├── BadConfiguration        a configuration is not what its plugin takes
    │   ├── BadManifest             a manifest cannot be used
    │   └── BadValue                a value does not satisfy its JSON schema
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
    ├── DialError                   a plugin that starts by itself found no runtime
    ├── UntrustedPeer               a unix socket belongs to another user; nothing was sent to it
    ├── RegistrationFailed          the runtime refused a plugin, or went away before it had answered
    ├── RegistrationRefused         the registration of a plugin cannot be accepted
    ├── ListenError                 the runtime cannot listen at an address
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

__all__ = [
    "BodyTooLarge",
    "ConfigError",
    "ExchangeError",
    "LinkError",
    "LinkTimeout",
    "PlugmuxError",
    "ProtocolViolation",
    "RequestTimeout",
    "SessionClosed",
    "StateError",
    "StreamClosed",
    "StreamReset",
]


class PlugmuxError(Exception):
    """The base class of all errors that plugmux raises on purpose."""


class ConfigError(PlugmuxError, ValueError):
    """A setting is out of its range; the message names the setting, the value and the range."""


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
