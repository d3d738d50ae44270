"""A plugin made of a recording: it answers as the recorded one did, so that a host is tested without it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from ..connect import Code, RpcError, Service
from ..dynamic.masking import mask_message, message_to_json
from .faults import Direction
from .recording import RecordingError, read_recording

if TYPE_CHECKING:
    from ..connect import Context, MethodSpec

__all__ = ["Replay"]


class Replay:
    """Services that answer from a recording; it is given to a `Plugin`, or to a `Runtime` as a plugin of its process.

        async with plugin_host(Plugin(Replay("kv.jsonl", KeyValueService), name="kv")) as host:
            ...

    A call gets the answer of the first recorded call of its method that has the same first request and has not been
    given yet. The requests and responses of a stream come in the recorded order. Values that were masked when they were
    recorded stay masked, and are masked in a request before it is compared. Calls that the plugin made of its host are
    in the recording, but are not made again.

    Args:
        path: the recording.
        services: the generated service classes whose calls are replayed.
        mask: names of fields whose values are secrets, as when it was recorded.
        repeat: whether a recorded call may be given more than once, when all of its kind have been.

    Raises:
        RecordingError: the recording cannot be read, or does not fit the services' messages.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *services: type[Service],
        mask: Collection[str] = (),
        repeat: bool = False,
    ) -> None:
        self._path = str(path)
        self._mask = tuple(mask)
        self._repeat = repeat
        methods = {method.path: method for service in services for method in service.spec.methods}
        self._left: dict[str, deque[_Script]] = {path: deque() for path in methods}
        self._given: dict[str, list[_Script]] = {path: [] for path in methods}
        for call in read_recording(path):
            method = methods.get(call["method"])
            if method is not None and call.get("direction") == Direction.TO_PLUGIN.value:
                self._left[method.path].append(_Script.read(self._path, method, call))
        self._services = [_replaying(self, service) for service in services]

    def plugmux_services(self) -> Sequence[Service]:
        """The services."""
        return self._services

    def assert_finished(self) -> None:
        """Assert that every recorded call has been made.

        Raises:
            AssertionError: some have not; its text names them.
        """
        __tracebackhide__ = True
        left = [f"  {path} {script}" for path, scripts in self._left.items() for script in scripts]
        if left:
            raise AssertionError(
                "\n".join([f"{len(left)} calls of the recording {self._path!r} were not made:", *left])
            )

    def choose(self, method: MethodSpec[Any, Any], request: Any | None) -> _Script:
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


class _Script:
    """One recorded call: what goes each way, in order, and how it ends."""

    def __init__(self, steps: Sequence[tuple[str, Any]], error: RpcError | None) -> None:
        self.steps = steps
        self.error = error
        self.first_request = next((message for kind, message in steps if kind == "request"), None)

    @classmethod
    def read(cls, path: str, method: MethodSpec[Any, Any], call: dict[str, Any]) -> _Script:
        """A call of a recording.

        Raises:
            RecordingError: it does not fit the method's messages.
        """
        kinds = {"request": method.request, "response": method.response}
        try:
            steps = [
                (kind, json_format.ParseDict(value, kinds[kind]()))
                for entry in call["messages"]
                for kind, value in entry.items()
            ]
            said = call.get("error")
            error = None if said is None else RpcError(Code(said["code"]), said.get("message", ""))
        except (json_format.ParseError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise RecordingError(
                f"a call of {method.path} in {path!r} does not fit its proto: {fault}; record it anew"
            ) from None
        return cls(steps, error)

    def __str__(self) -> str:
        return "" if self.first_request is None else json.dumps(message_to_json(self.first_request))


def _replaying(replay: Replay, service: type[Service]) -> Service:
    """An object of a subclass whose methods answer from the recording."""
    handlers = {method.attribute: _handler(replay, method) for method in service.spec.methods}
    replaying: type[Service] = type(f"Replayed{service.__name__}", (service,), handlers)
    return replaying()


def _handler(replay: Replay, method: MethodSpec[Any, Any]) -> Callable[..., Any]:
    async def play(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        request = await anext(requests, None)
        script, taken = replay.choose(method, request), 0
        for kind, message in script.steps:
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
        if script.error is not None:
            raise script.error

    async def one(self: Any, request: Any, context: Context) -> Any:
        requests = request if method.kind.client_streams else _only(request)
        response = [message async for message in play(requests)]
        if not response:
            raise RpcError(
                Code.FAILED_PRECONDITION, f"the recorded call of {method.path} was not answered; record it anew"
            )
        return response[0]

    async def many(self: Any, request: Any, context: Context) -> AsyncIterator[Any]:
        async for message in play(request if method.kind.client_streams else _only(request)):
            yield message

    return many if method.kind.server_streams else one


async def _only(message: Any) -> AsyncIterator[Any]:
    yield message
