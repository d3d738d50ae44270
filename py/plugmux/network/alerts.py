"""Sends the alert of a handshake that this end has refused: the other end is to learn why.

asyncio closes a connection whose handshake has failed without writing what OpenSSL has left to be sent, which is the
alert. So the context remembers where it would be written to, and the handshake writes it itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

__all__ = ["AlertingContext", "alerts_by"]

_write: ContextVar[Callable[[bytes], object] | None] = ContextVar("write", default=None)


@contextmanager
def alerts_by(write: Callable[[bytes], object]) -> Iterator[None]:
    """Have the handshakes that begin in the block write their alerts.

    Args:
        write: writes to the connection below TLS; it may raise `OSError`.
    """
    token = _write.set(write)
    try:
        yield
    finally:
        _write.reset(token)


class _AlertingObject(ssl.SSLObject):
    """One end of a connection that writes its alert where the handshake fails."""

    outgoing: ssl.MemoryBIO
    write_alert: Callable[[bytes], object] | None

    def do_handshake(self) -> None:
        """As the base class."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self.write_alert is not None and (alert := self.outgoing.read()):
                with suppress(OSError):
                    self.write_alert(alert)
            raise


class AlertingContext(ssl.SSLContext):
    """A context whose handshakes write their alerts, where they begin within `alerts_by`."""

    sslobject_class = _AlertingObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **options: Any) -> ssl.SSLObject:
        """As the base class."""
        made = super().wrap_bio(incoming, outgoing, *args, **options)
        assert isinstance(made, _AlertingObject)
        made.outgoing = outgoing
        made.write_alert = _write.get()
        return made
