"""The calls that have crossed a link: captured, shown, and compared with what a test expects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..connect import Code, Interceptor, RpcError
from ..dynamic.masking import mask_message, masked_text, message_to_json
from .faults import Direction, direction_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from ..connect import Context
    from ..connect.interceptor import UnaryNext

__all__ = ["Call", "CallLog", "ExpectedCall", "assert_calls"]


@dataclass(slots=True, repr=False)
class Call:
    """One call of a service, unary or streaming.

    Attributes:
        direction: who was called: `TO_PLUGIN` or `TO_HOST`.
        path: the method (`"/kv.v1.KeyValueService/Get"`).
        messages: what was sent and received, in order: `("request", message)` or `("response", message)`.
        error: the error that the call ended with; `None` where it ended well, or goes on.
        ended: whether it has ended.
        number: which call it is, by the order of their beginnings: 1 for the first.
        began_after: how many calls had ended when it began.
        during: the call of the plugin that was under way when the plugin made this one; the last of several.
        since: how many messages of that call had passed when this one began.
        until: how many had passed when this one ended; `None` where this one ended later than that call.
    """

    direction: Direction
    path: str
    messages: list[tuple[str, Message]] = field(default_factory=list)
    error: RpcError | None = None
    ended: bool = False
    mask: Collection[str] = ()
    number: int = 0
    began_after: int = 0
    during: Call | None = None
    since: int = 0
    until: int | None = None

    @property
    def requests(self) -> list[Any]:
        """The requests that were sent."""
        return [message for kind, message in self.messages if kind == "request"]

    @property
    def responses(self) -> list[Any]:
        """The responses that came."""
        return [message for kind, message in self.messages if kind == "response"]

    def to_json(self) -> dict[str, Any]:
        """The call as a JSON object, with the values of secrets masked."""
        shown: list[dict[str, Any]] = []
        secrets: list[str] = []
        for kind, message in self.messages:
            masked, texts = mask_message(message, self.mask)
            shown.append({kind: message_to_json(masked)})
            secrets += texts
        result: dict[str, Any] = {"number": self.number, "direction": self.direction.value, "method": self.path}
        if self.direction is Direction.TO_HOST:
            result["began_after"] = self.began_after
        if self.during is not None:
            result["during"] = {"number": self.during.number, "since": self.since, "until": self.until}
        result["messages"] = shown
        if self.error is not None:
            result["error"] = {"code": self.error.code.value, "message": masked_text(self.error.message, secrets)}
        return result

    def __repr__(self) -> str:
        return f"<Call {describe(self)}>"


def describe(call: Call) -> str:
    """A call in one line, with the values of secrets masked."""
    said = call.to_json()
    parts = [f"{kind}={json.dumps(message)}" for entry in said["messages"] for kind, message in entry.items()]
    if error := said.get("error"):
        parts.append(f"error={error['code']}: {error['message']}")
    return " ".join([call.direction.value, call.path, *parts, *(() if call.ended else ["(goes on)"])])


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that a test expects: what is `None` may be anything.

    Args:
        method: the method: its name (`"Get"`), or its service as well (`"KeyValueService/Get"`, in full or in part).
        request: the first request.
        response: the last response.
        code: the code of the error that it ended with.
    """

    method: str
    request: Message | None = None
    response: Message | None = None
    code: Code | None = None

    def matches(self, call: Call) -> bool:
        """Whether a call is as expected."""
        path = call.path.lstrip("/")
        wanted = self.method.lstrip("/")
        named = path == wanted or path.endswith(("/" + wanted, "." + wanted))
        asked = self.request is None or call.requests[:1] == [self.request]
        answered = self.response is None or call.responses[-1:] == [self.response]
        return named and asked and answered and (self.code is None or (call.error and call.error.code) is self.code)

    def __str__(self) -> str:
        parts = [self.method]
        for name, message in (("request", self.request), ("response", self.response)):
            if message is not None:
                parts.append(f"{name}={json.dumps(message_to_json(mask_message(message)[0]))}")
        return " ".join([*parts, *([f"error={self.code.value}"] if self.code else [])])


def assert_calls(
    calls: Iterable[Call],
    *expected: ExpectedCall | str,
    direction: Direction | str | None = None,
    in_order: bool = True,
    others: bool = False,
) -> None:
    """Assert that these calls were made.

    Args:
        calls: the calls, such as `host.calls`.
        expected: what is expected; a text stands for a call of that method.
        direction: count those of one direction only.
        in_order: whether the order must be the same.
        others: whether there may be calls that are not expected.

    Raises:
        AssertionError: the calls are others; its text shows both, with the values of secrets masked.
        ConfigError: there is no such direction.
    """
    __tracebackhide__ = True
    wanted = [ExpectedCall(each) if isinstance(each, str) else each for each in expected]
    only = None if direction is None else direction_of(direction)
    seen = [call for call in calls if only in (None, call.direction)]
    missing, extra = _compare(seen, wanted, in_order)
    if not missing and (others or not extra):
        return
    lines = [f"expected {len(wanted)} calls, in {'this' if in_order else 'any'} order:"]
    lines += [f"  {'-' if each in missing else ' '} {each}" for each in wanted] or ["    (none)"]
    lines.append(f"made were {len(seen)}:")
    lines += [f"  {'+' if any(call is each for each in extra) else ' '} {describe(call)}" for call in seen] or [
        "    (none)"
    ]
    raise AssertionError("\n".join(lines))


def _compare(
    seen: Sequence[Call], wanted: Sequence[ExpectedCall], in_order: bool
) -> tuple[list[ExpectedCall], list[Call]]:
    """The expected calls that are missing, and the calls that nobody expected."""
    missing, left, position = [], list(seen), 0
    for each in wanted:
        places = range(position if in_order else 0, len(left))
        place = next((place for place in places if each.matches(left[place])), None)
        if place is None:
            missing.append(each)
        else:
            del left[place]
            position = place
    return missing, left


class CallLog:
    """Takes down calls.

    Args:
        mask: names of fields whose values are secrets, as for `mask_message`.
        on_end: told of every call when it has ended.
    """

    def __init__(self, mask: Collection[str] = (), on_end: Callable[[Call], None] = lambda call: None) -> None:
        self.calls: list[Call] = []
        self._mask = tuple(mask)
        self._on_end = on_end
        self._ended = 0
        self._changed = asyncio.Event()

    def interceptor(self, direction: Direction) -> Interceptor:
        """What takes down the calls of one direction."""
        return _CallInterceptor(self, direction)

    def begin(self, direction: Direction, path: str) -> Call:
        """Take down that a call begins."""
        call = Call(direction, path, mask=self._mask, number=len(self.calls) + 1, began_after=self._ended)
        if direction is Direction.TO_HOST:
            under_way = (each for each in reversed(self.calls) if not each.ended)
            call.during = next((each for each in under_way if each.direction is Direction.TO_PLUGIN), None)
            call.since = 0 if call.during is None else len(call.during.messages)
        self.calls.append(call)
        self._wake()
        return call

    def end(self, call: Call, error: BaseException | None = None) -> None:
        """Take down that a call has ended."""
        if error is not None:
            call.error = _as_rpc_error(error)
        call.ended = True
        if call.during is not None and not call.during.ended:
            call.until = len(call.during.messages)
        self._ended += 1
        self._wake()
        self._on_end(call)

    async def wait(self, count: int) -> None:
        """Wait until that many calls have ended."""
        while sum(call.ended for call in self.calls) < count:
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


OWN = ("/plugins.v1.", "/plugmux.v1.")
"""How the paths of the runtime's own services begin, whose calls are no calls of the application."""


class _CallInterceptor(Interceptor):
    def __init__(self, log: CallLog, direction: Direction) -> None:
        self._log = log
        self._direction = direction

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        if context.method.path.startswith(OWN):
            return await next(request, context)
        call = self._log.begin(self._direction, context.method.path)
        call.messages.append(("request", request))
        try:
            response = await next(request, context)
        except BaseException as error:
            self._log.end(call, error)
            raise
        call.messages.append(("response", response))
        self._log.end(call)
        return response

    async def stream(
        self, requests: AsyncIterator[Any], context: Context, next: Callable[..., AsyncIterator[Any]]
    ) -> AsyncIterator[Any]:
        if context.method.path.startswith(OWN):
            async for response in next(requests, context):
                yield response
            return
        call = self._log.begin(self._direction, context.method.path)

        async def noted() -> AsyncIterator[Any]:
            async for request in requests:
                call.messages.append(("request", request))
                yield request

        responses = next(noted(), context)
        error: BaseException | None = None
        try:
            async for response in responses:
                call.messages.append(("response", response))
                yield response
        except BaseException as fault:
            error = fault
            if isinstance(fault, GeneratorExit):  # The host left its call early, or the plugin did.
                to_host = self._direction is Direction.TO_HOST
                error = RpcError(Code.CANCELED, "the plugin left the call") if to_host else None
            raise
        finally:
            if aclose := getattr(responses, "aclose", None):
                await aclose()
            self._log.end(call, error)


def _as_rpc_error(error: BaseException) -> RpcError:
    if isinstance(error, RpcError):
        return error
    if isinstance(error, asyncio.CancelledError):
        return RpcError(Code.CANCELED, "the call was cancelled")
    return RpcError(Code.UNKNOWN, type(error).__name__)
