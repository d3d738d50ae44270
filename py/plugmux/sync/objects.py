"""Objects that a host and its plugins lend each other, with methods that wait."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ..connect import SyncClient

if TYPE_CHECKING:
    from ..connect import Client
    from ..link import references, remote
    from .thread import LoopThread

__all__ = ["Loan", "RemoteObject"]

AnyClient = TypeVar("AnyClient", bound=SyncClient)


class RemoteObject:
    """An object that a plugin has lent; at the end of a `with` block it is released.

    Args:
        asynchronous: the same for asyncio.
        thread: runs it.
    """

    def __init__(self, asynchronous: remote.RemoteObject, thread: LoopThread) -> None:
        self.asynchronous = asynchronous
        self._thread = thread

    @overload
    def client(self, client_class: type[AnyClient], **options: Any) -> AnyClient: ...
    @overload
    def client(self, client_class: type[Client], **options: Any) -> Any: ...
    def client(self, client_class: type[Any], **options: Any) -> Any:
        """A client of a service of the object.

        Args:
            client_class: a generated client class.
            options: what the class takes besides the transport.
        """
        sync_class = client_class if issubclass(client_class, SyncClient) else client_class.sync_class
        return sync_class(self.asynchronous.transport, runner=self._thread, **options)

    def borrow(self, reference: str) -> RemoteObject:
        """Another object of the same plugin's, by the reference that this one has given."""
        return RemoteObject(self.asynchronous.borrow(reference), self._thread)

    def release(self) -> None:
        """Give the object back; returns when the plugin has cleaned up behind it. Harmless where it has ended before.

        Raises:
            RpcError: the clean-up failed, or took longer than 10 s.
        """
        self._thread.run(self.asynchronous.release())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Loan:
    """An object that the host has lent; as a context manager it gives the reference, and withdraws the object.

    Args:
        asynchronous: the same for asyncio.
        thread: runs it.
    """

    def __init__(self, asynchronous: references.Loan, thread: LoopThread) -> None:
        self._asynchronous = asynchronous
        self._thread = thread
        self.reference = asynchronous.reference

    def withdraw(self) -> None:
        """Take the object back; harmless where it has been released. Calls under way go on to their end."""
        self._thread.run(self._asynchronous.withdraw())

    def __enter__(self) -> str:
        return self.reference

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.withdraw()
