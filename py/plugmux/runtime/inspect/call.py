"""One call while somebody watches: what is noted of it as it passes, and the sums that it becomes part of."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from ...connect import Code
from ...exchange import Headers, Request, Response, StreamingResponse
from .latency import Latencies
from .outcome import OK, StreamScanner, is_stream, outcome_of, outcome_of_error

__all__ = ["CallCounter", "CallRecord", "MethodCalls", "ObservedCall"]


@dataclass(slots=True)
class MethodCalls:
    """The sum of the calls that one caller has made of one method while somebody watched.

    Args:
        caller: the plugin that calls; empty for the host and the clients of its sockets.
        callee: the plugin that is called; empty for the host. Both are empty where no plugin was found.
        method: as `kv.v1.KeyValueService/Get`; for other requests the path.
        secret: whether its errors may tell a secret, so that only their codes are kept.
        calls: calls that have ended.
        errors: those of them that failed.
        begun: calls that have been sent.
        seconds: the time that those took which were timed.
        request_bytes: of the requests' bodies.
        response_bytes: of the responses' bodies.
        latencies: how long those took which were timed: every call, or of a busy method a random sample.
        codes: how many failed with each code.
        untimed: calls that end untimed before the next one is timed.
        every: one call of so many is timed.
        calls_before: what `calls` was when `every` was chosen.
    """

    caller: str
    callee: str
    method: str
    secret: bool = False
    calls: int = 0
    errors: int = 0
    begun: int = 0
    seconds: float = 0.0
    request_bytes: int = 0
    response_bytes: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    codes: dict[str, int] = field(default_factory=dict)
    untimed: int = 0
    every: int = 1
    calls_before: int = 0

    @property
    def in_flight(self) -> int:
        """Calls that are under way."""
        return self.begun - self.calls


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that has ended.

    Args:
        number: ascends in the order in which calls end.
        time: when it began, in seconds since the epoch.
        of: the sums of its method.
        duration: in seconds.
        code: what it failed with; empty if it succeeded.
        message: what the error says.
        request_bytes: of the request's body.
        response_bytes: of the response's body.
        stream: whether it took or gave a stream of messages.
    """

    number: int
    time: float
    of: MethodCalls
    duration: float
    code: str
    message: str = field(repr=False)
    request_bytes: int
    response_bytes: int
    stream: bool


class CallCounter(Protocol):
    """What a call reports to (`observer.CallObserver`)."""

    adjust_at: float

    @property
    def methods(self) -> dict[tuple[str, str, str], MethodCalls]: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    def sums_of(self, caller: str, callee: str, path: str) -> MethodCalls: ...
    def note(self, call: ObservedCall, sums: MethodCalls, response_bytes: int, code: str, message: str) -> None: ...


class ObservedCall:
    """One call that is under way while somebody watches.

    What every call does here is written out, since a busy host pays for it: three calls of Python functions.

    Args:
        observer: is told of its end.
        caller: the plugin that calls; empty for the host.
        path: of the request.
        body: of the request; one that is sent piece by piece is counted by `counted`.

    Attributes:
        began: when, by the observer's clock.
        request_bytes: of the request's body, as far as it has been sent.
        stream: whether it takes or gives a stream of messages.
    """

    __slots__ = ("_caller", "_observer", "_path", "_sums", "began", "request_bytes", "stream")

    def __init__(self, observer: CallCounter, caller: str, path: str, body: bytes | AsyncIterable[bytes]) -> None:
        self._observer = observer
        self._caller = caller
        self._path = path
        self._sums: MethodCalls | None = None
        self.request_bytes = len(body) if type(body) is bytes else 0
        self.stream = False
        self.began = observer.clock()

    def sent_to(self, callee: str) -> None:
        """Note which plugin takes it; of several attempts the last one counts. Empty for the host."""
        if self._sums is not None:
            self._sums.begun -= 1
        sums = self._observer.methods.get((self._caller, callee, self._path))
        if sums is None:
            sums = self._observer.sums_of(self._caller, callee, self._path)
        sums.begun += 1
        self._sums = sums

    def counted(self, request: Request) -> Request:
        """The request, with a body that is counted as it is sent."""
        return request if isinstance(request.body, bytes) else replace(request, body=self._count(request.body))

    def answered(self, response: Response) -> None:
        """Note the whole response."""
        sums = self._sums
        if response.status != OK:
            self.end(len(response.body), *outcome_of(response.status, response.body))
        elif sums is not None and sums.untimed and self.began < self._observer.adjust_at:
            sums.untimed -= 1
            sums.calls += 1
            sums.request_bytes += self.request_bytes
            sums.response_bytes += len(response.body)
        else:
            self.end(len(response.body), "", "")

    async def send(self, exchange: Awaitable[StreamingResponse]) -> StreamingResponse:
        """Await a response that comes piece by piece; the call ends with it."""
        try:
            return ObservedResponse(await exchange, self)
        except BaseException as error:
            self.failed(error)
            raise

    def failed(self, error: BaseException) -> None:
        """Note what was raised instead of a response."""
        self.end(0, *outcome_of_error(error))

    def end(self, response_bytes: int, code: str, message: str) -> None:
        """Note how it ended: once, as the last call of this object."""
        if self._sums is None:
            self.sent_to("")
            assert self._sums is not None
        self._observer.note(self, self._sums, response_bytes, code, message)

    async def _count(self, body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The pieces of a request's body, as they are sent."""
        self.stream = True
        async for piece in body:
            self.request_bytes += len(piece)
            yield piece


class ObservedResponse:
    """A response that comes piece by piece; the call ends when it does.

    Args:
        response: the response.
        call: the call.
    """

    def __init__(self, response: StreamingResponse, call: ObservedCall) -> None:
        self._response = response
        self._call = call
        self._open = True
        self._scanner = StreamScanner(response.status, stream=is_stream(response.headers))
        call.stream = call.stream or self._scanner.stream

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Headers:
        return self._response.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response:
                self._scanner.feed(chunk)
                yield chunk
        except BaseException as error:
            self._end(*outcome_of_error(error))
            raise
        self._end(*self._scanner.outcome)

    async def aclose(self) -> None:
        cut_off = self._scanner.stream and not self._scanner.complete
        self._end(*((Code.CANCELED.value, "") if cut_off else self._scanner.outcome))
        await self._response.aclose()

    def _end(self, code: str, message: str) -> None:
        if self._open:
            self._open = False
            self._call.end(self._scanner.size, code, message)
