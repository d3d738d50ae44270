"""A plugin made of a recording: it answers as the recorded one did, so that a host is tested without it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..connect import Client, Code, RpcError, Service
from ..dynamic.masking import mask_message, message_to_json
from ..link.link import Link
from .faults import Direction
from .host_calls import HostCalls
from .recording import RecordedCall, read_recording

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..connect import Context, MethodSpec
    from ..exchange import ClientTransport
    from .host_calls import CallsDuring

__all__ = ["Replay"]


class Replay:
    """Services that answer from a recording; it is given to a `Plugin`, or to a `Runtime` as a plugin of its process.

        async with plugin_host(Plugin(Replay("kv.jsonl", KeyValueService, AuditClient), name="kv")) as host:
            ...

    A call gets the answer of the first recorded call of its method that has the same first request and has not been
    given yet. The requests and responses of a stream come in the recorded order. Values that were masked when they were
    recorded stay masked, and are masked in a request before it is compared.

    Calls that the plugin made of its host are made again where the class of their client is given. One that it made
    while it answered a call is made when that call is answered, between the same messages; one that it made by itself,
    when the calls that had ended before it have ended again. The host must answer as it did: another answer ends the
    plugin's call with `failed_precondition`, and `assert_finished` tells it.

    Args:
        path: the recording.
        classes: the generated service classes whose calls are answered, and the client classes whose calls are made.
        mask: names of fields whose values are secrets, as when it was recorded.
        repeat: whether a recorded call may be given more than once, when all of its kind have been.

    Raises:
        RecordingError: the recording cannot be read, or does not fit the services' messages.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *classes: type[Service] | type[Client],
        mask: Collection[str] = (),
        repeat: bool = False,
    ) -> None:
        self._path = str(path)
        self._mask = tuple(mask)
        self._repeat = repeat
        services = [each for each in classes if issubclass(each, Service)]
        methods = {method.path: method for service in services for method in service.spec.methods}
        self._left: dict[str, deque[RecordedCall]] = {path: deque() for path in methods}
        self._given: dict[str, list[RecordedCall]] = {path: [] for path in methods}
        recorded = read_recording(path)
        for position, call in enumerate(recorded):
            method = methods.get(call["method"])
            if method is not None and call.get("direction") == Direction.TO_PLUGIN.value:
                self._left[method.path].append(RecordedCall.read(self._path, method, call, position))
        clients = [each for each in classes if issubclass(each, Client)]
        self._host_calls = HostCalls(self._path, clients, recorded, methods, mask)
        self._services = [_replaying(self, service) for service in services]

    def plugmux_services(self) -> Sequence[Service]:
        """The services."""
        return self._services

    def plugmux_calling(self, host: ClientTransport) -> AbstractAsyncContextManager[None]:
        """Makes the calls that the plugin made by itself."""
        return self._host_calls.alone(host)

    def answering(self, call: RecordedCall, context: Context) -> AbstractAsyncContextManager[CallsDuring]:
        """Makes the calls that the plugin made while it answered one."""
        return self._host_calls.during(call.number, Link.of(context).transport)

    def answered(self, call: RecordedCall) -> None:
        """Take note that a call has been answered."""
        self._host_calls.note(call.number)

    def assert_finished(self) -> None:
        """Assert that every recorded call has been made, and that the host has answered its own as recorded.

        Raises:
            AssertionError: some have not; its text names them.
        """
        __tracebackhide__ = True
        left = [f"  {script}" for scripts in self._left.values() for script in scripts] + self._host_calls.left()
        if left:
            raise AssertionError(
                "\n".join(
                    [
                        f"{len(left)} calls of the recording {self._path!r} were not made, or were answered otherwise:",
                        *left,
                    ]
                )
            )

    def choose(self, method: MethodSpec[Any, Any], request: Any | None) -> RecordedCall:
        """The recorded call that answers a call.

        Raises:
            RpcError: there is none.
        """
        asked = None if request is None else self.masked(request)
        left, given = self._left[method.path], self._given[method.path]
        for script in left:
            if script.first_request == asked:
                left.remove(script)
                given.append(script)
                return script
        again = [script for script in given if script.first_request == asked]
        if again and self._repeat:
            return again[-1]
        why = f"has been given {len(again)} times, which is all that was recorded" if again else "was not recorded"
        shown = "" if asked is None else f" with {json.dumps(message_to_json(asked))}"
        hint = "Replay(..., repeat=True) gives it again, or record anew" if again else "record it anew"
        raise RpcError(Code.FAILED_PRECONDITION, f"the call {method.path}{shown} {why} in {self._path!r}: {hint}")

    def masked(self, message: Any) -> Any:
        """A message as it would have been recorded."""
        return mask_message(message, self._mask)[0]


def _replaying(replay: Replay, service: type[Service]) -> Service:
    """An object of a subclass whose methods answer from the recording."""
    handlers = {method.attribute: _handler(replay, method) for method in service.spec.methods}
    replaying: type[Service] = type(f"Replayed{service.__name__}", (service,), handlers)
    return replaying()


def _handler(replay: Replay, method: MethodSpec[Any, Any]) -> Callable[..., Any]:
    async def play(requests: AsyncIterator[Any], context: Context) -> AsyncGenerator[Any, None]:
        request = await anext(requests, None)
        script, taken = replay.choose(method, request), 0
        async with replay.answering(script, context) as host_calls:
            for place, (kind, message) in enumerate(script.steps):
                if place:  # The first request is there.
                    await host_calls.reach(place)
                if kind == "response":
                    yield message
                    continue
                if taken:
                    request = await anext(requests, None)
                taken += 1
                if request is None or replay.masked(request) != message:
                    raise RpcError(
                        Code.FAILED_PRECONDITION,
                        f"request {taken} of {method.path} is not the recorded one; record it anew",
                    )
            await host_calls.reach(len(script.steps))
        replay.answered(script)
        if script.error is not None:
            raise script.error

    async def one(self: Any, request: Any, context: Context) -> Any:
        requests = request if method.kind.client_streams else _only(request)
        response = [message async for message in play(requests, context)]
        if not response:
            raise RpcError(
                Code.FAILED_PRECONDITION, f"the recorded call of {method.path} was not answered; record it anew"
            )
        return response[0]

    async def many(self: Any, request: Any, context: Context) -> AsyncIterator[Any]:
        async with aclosing(play(request if method.kind.client_streams else _only(request), context)) as messages:
            async for message in messages:
                yield message

    return many if method.kind.server_streams else one


async def _only(message: Any) -> AsyncIterator[Any]:
    yield message
