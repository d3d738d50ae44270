"""The calls that a recorded plugin made of its host, made again at the same points of its life."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..connect import Client, Code, RpcError
from ..connect.spec import Kind
from ..dynamic.masking import mask_message, message_to_json
from ..errors import StreamClosed
from .faults import Direction
from .recording import RecordedCall, RecordingError

if TYPE_CHECKING:
    from ..exchange import ClientTransport

__all__ = ["CallsDuring", "HostCalls"]

logger = logging.getLogger("plugmux.testing")

GIVEN_UP = (Code.CANCELED, Code.DEADLINE_EXCEEDED)
"""The errors of calls that the plugin gave up: such a call is made, and is given up when what it was made in ends."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a call of the host was made: during the call `number` of the plugin, or by itself where that is 0."""

    number: int
    since: int
    until: int | None
    began_after: int


class HostCalls:
    """Makes the recorded calls of the host.

    Args:
        path: the recording, for messages.
        clients: the generated client classes whose calls are made.
        calls: every call of the recording, in the order of their ends.
        answered: the paths of the methods that the replay answers.
        mask: names of fields whose values are secrets.

    Raises:
        RecordingError: a call does not fit its proto.
    """

    def __init__(
        self,
        path: str,
        clients: Iterable[type[Client]],
        calls: Sequence[Mapping[str, Any]],
        answered: Collection[str],
        mask: Collection[str],
    ) -> None:
        self._path = path
        self._mask = tuple(mask)
        methods = {method.path: method for client in clients for method in client.spec.methods}
        self._during: dict[int, list[tuple[_Moment, RecordedCall]]] = {}
        self._number_at = [int(call.get("number", 0)) for call in calls]
        replayed = {
            number
            for number, call in zip(self._number_at, calls, strict=True)
            if call["method"] in (answered if call.get("direction") == Direction.TO_PLUGIN.value else methods)
        }
        self._done: set[int] = set()
        self._changed = asyncio.Event()
        self._begun: set[int] = set()
        self._faults: list[str] = []
        for position, call in enumerate(calls):
            method = methods.get(call["method"])
            if method is not None and call.get("direction") == Direction.TO_HOST.value:
                moment, recorded = _moment(path, call), RecordedCall.read(path, method, call, position)
                self._during.setdefault(moment.number, []).append((moment, recorded))
        for those in self._during.values():
            those.sort(key=lambda each: each[1].number)
        self._alone = self._during.pop(0, [])
        # Calls that are made within others are not waited for: the others are.
        self._awaited = replayed - {call.number for those in self._during.values() for _, call in those}

    def left(self) -> list[str]:
        """What has gone otherwise than recorded: calls that were not made, and those that had another answer."""
        calls = [*self._alone, *(each for those in self._during.values() for each in those)]
        return [f"  {call}" for _, call in calls if call.number not in self._begun] + self._faults

    def note(self, number: int) -> None:
        """Take note that a call of the plugin has been answered; the calls that were made after it may follow."""
        self._done.add(number)
        self._changed.set()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def alone(self, host: ClientTransport) -> AsyncIterator[None]:
        """Make the calls that the plugin made by itself, each when what had ended before it has ended again."""
        following = [asyncio.create_task(self._follow(*each, host)) for each in self._alone]
        try:
            yield
        finally:
            await self._end(following)

    async def _follow(self, moment: _Moment, call: RecordedCall, host: ClientTransport) -> None:
        if call.number in self._begun:
            return
        before = self._awaited.intersection(self._number_at[: moment.began_after])
        while not before <= self._done:
            await self._changed.wait()
        await self.make(call, host, asyncio.Event())

    @asynccontextmanager
    async def during(self, number: int, host: ClientTransport) -> AsyncIterator[CallsDuring]:
        """Make the calls that the plugin made while it answered a call, as `CallsDuring.reach` says."""
        calls = CallsDuring(self, self._during.get(number, ()), host)
        try:
            yield calls
        finally:
            await self._end(calls.tasks)

    async def _end(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, RpcError) and ended.message not in self._faults:
                self._faults.append(ended.message)
                logger.error("%s", ended.message)

    async def make(self, call: RecordedCall, host: ClientTransport, passed: asyncio.Event) -> None:
        """Make a call of the host.

        Args:
            call: the call.
            host: where it goes.
            passed: is set when all of its messages have passed.

        Raises:
            RpcError: the host has not answered as it did when it was recorded.
        """
        self._begun.add(call.number)
        try:
            await self._send_and_compare(call, Client(host), passed)
            wanted = call.error
        except _OtherAnswer:
            raise
        except RpcError as error:
            if call.error is None or error.code is not call.error.code:
                raise self._other(call, f"the error {error.code.value}: {error.message}") from None
            wanted = None
        finally:
            passed.set()
        if wanted is not None:
            raise self._other(call, "no error")
        self.note(call.number)

    async def _send_and_compare(self, call: RecordedCall, client: Client, passed: asyncio.Event) -> None:
        if call.method.kind is Kind.UNARY:
            if _gives_up(call):
                asyncio.get_running_loop().call_soon(passed.set)  # Nothing tells that the request has been sent.
            self._compare(call, call.response, await client._unary(call.method, call.first_request, None, None, None))
            return
        last = max((place for place, (kind, _) in enumerate(call.steps) if kind == "request"), default=-1)
        async with client._bidi_stream(call.method, None, None, None) as stream:
            for place, (kind, message) in enumerate(call.steps):
                if kind == "response":
                    self._compare(call, message, await anext(stream, None))
                    continue
                try:
                    await stream.send(message)
                except StreamClosed:
                    await anext(stream, None)  # raises why
                    raise self._other(call, "its end before all requests") from None
                if place == last and not (_gives_up(call) and call.method.kind.client_streams):
                    await stream.close_send()
            passed.set()
            if _gives_up(call):
                await asyncio.Event().wait()
            self._compare(call, None, await anext(stream, None))

    def _compare(self, call: RecordedCall, recorded: Any | None, response: Any | None) -> None:
        if response is not None:
            response = mask_message(response, self._mask)[0]
        if recorded != response and not (recorded is None and call.error is not None):
            shown = "no message" if response is None else json.dumps(message_to_json(response))
            raise self._other(call, shown)

    def _other(self, call: RecordedCall, answer: str) -> RpcError:
        return _OtherAnswer(
            f"the host has not answered the plugin's call {call} as it is recorded in {self._path!r}, but with "
            f"{answer}: serve what the recording has, mask= what differs each time, or record it anew"
        )


class _OtherAnswer(RpcError):
    def __init__(self, message: str) -> None:
        super().__init__(Code.FAILED_PRECONDITION, message)


class CallsDuring:
    """The calls of the host that belong to one call of the plugin.

    Args:
        calls: makes them.
        recorded: what is made, in the order of their beginnings.
        host: where they go.
    """

    def __init__(
        self, calls: HostCalls, recorded: Iterable[tuple[_Moment, RecordedCall]], host: ClientTransport
    ) -> None:
        self._calls = calls
        self._left = list(recorded)
        self._host = host
        self._ends: list[tuple[int, int, asyncio.Task[Any]]] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def reach(self, place: int) -> None:
        """Begin the calls that had begun when so many messages had passed, and wait for those that had ended.

        Raises:
            RpcError: the host has not answered as it did when it was recorded.
        """
        while self._left and self._left[0][0].since <= place:
            moment, call = self._left.pop(0)
            for _, position, end in self._ends:
                if position < moment.began_after:
                    await asyncio.shield(end)
            passed = asyncio.Event()
            making: asyncio.Task[Any] = asyncio.create_task(self._calls.make(call, self._host, passed))
            self.tasks.append(making)
            if _gives_up(call):
                making = asyncio.create_task(passed.wait())
                self.tasks.append(making)
            if moment.until is not None:
                self._ends.append((moment.until, call.position, making))
        for until, _, end in self._ends:
            if until <= place:
                await asyncio.shield(end)


def _gives_up(call: RecordedCall) -> bool:
    return call.error is not None and call.error.code in GIVEN_UP


def _moment(path: str, call: Mapping[str, Any]) -> _Moment:
    try:
        during = call.get("during") or {"number": 0, "since": 0, "until": None}
        until = during["until"]
        return _Moment(
            int(during["number"]), int(during["since"]), None if until is None else int(until), int(call["began_after"])
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise RecordingError(
            f"a call of {call['method']} in {path!r} does not tell when the plugin made it ({fault!r}); record it anew"
        ) from None
