"""The client transport of a runtime: each request goes to the plugin that serves it.

Every call of the host passes here on its way to a plugin: it goes to one of several replicas (`balance`), waits for one
that is starting again, is kept from one whose circuit is open, and is made again where that is allowed (`retry`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from ...connect import Code
from ...contract.registration import ON_EVERY_PLUGIN
from ...errors import BodyTooLarge, ExchangeError, LinkError, PluginError, RequestTimeout
from ...exchange import Request, Response, StreamingResponse
from ...link.link import Link
from ..plugin import PluginRecord
from ..registry import Registry
from ..settings import Policies
from .response import RoutedResponse, answers_stream
from .retry import RetryPolicy
from .waiting import any_changed, none_reachable

if TYPE_CHECKING:
    from ..inspect.call import ObservedCall
    from .balance import Balancer

__all__ = ["Router"]

OK = 200
UNAVAILABLE = 503
DEADLINE_EXCEEDED = 504
EARLY = 0.05
"""Seconds by which a caller's time may be over before ours is: its request took a while to arrive."""


class Router:
    """A `ClientTransport` over all plugins of a runtime.

    Args:
        registry: the plugins.
        policies: those of the runtime: the budget of retries, and the time limit of a unary call.
        chance: gives numbers from 0 up to 1, for the delays between attempts and the choice of replicas.

    Attributes:
        registry: the plugins.
        budget: what may be spent on retries.
        request_timeout: seconds that a unary call may take, whatever its caller allows; 0 for no limit.
    """

    def __init__(self, registry: Registry, policies: Policies, *, chance: Callable[[], float] = random.random) -> None:
        self.registry = registry
        self._plugin: str | None = None
        self.budget = Budget(policies.retry)
        self.request_timeout = policies.timeouts.request
        self.chance = chance
        self._balancer: list[Balancer] = []  # one, which all routers of a runtime share

    @property
    def balancer(self) -> Balancer:
        """Chooses among replicas."""
        if not self._balancer:
            from .balance import Balancer

            self._balancer.append(Balancer(self.chance))
        return self._balancer[0]

    def named(self, plugin: str) -> Router:
        """The same transport for one plugin only."""
        router = copy(self)
        router._plugin = plugin
        return router

    def to(self, plugin: str | None, service: str) -> Router:
        """The router for one plugin of those that list a service, `None` for whichever it is.

        Raises:
            ExchangeError: there is no such plugin, or it does not list the service.
        """
        if plugin is None:
            return self
        try:
            replicas = self.registry.named(plugin)
        except PluginError as error:
            raise ExchangeError(str(error), sent=False) from error.brief()
        if service not in ON_EVERY_PLUGIN and not any(
            service in replica.registration.services for replica in replicas if replica.registration
        ):
            raise ExchangeError(f"plugin {plugin!r} does not serve {service}", sent=False)
        return self.named(plugin)

    async def fetch(self, request: Request, limit: int) -> Response:
        """Send a request to its plugin and return the whole response."""
        allowed = self.request_timeout
        bounded = allowed > 0 and (request.timeout is None or request.timeout > allowed)
        attempts = _Attempts(self, replace(request, timeout=allowed) if bounded else request)
        observer = self.registry.call_observer
        attempts.call = call = None if observer is None else observer.begin("", request.path, request.body)
        try:
            response = await self._fetch(attempts, limit)
        except BaseException as error:
            if call is not None:
                call.failed(error)
            if bounded and isinstance(error, TimeoutError):
                raise RequestTimeout(f"over the {allowed:g} s that the runtime allows (Timeouts.request)") from error
            raise
        if call is not None:
            call.answered(response)
        return response

    async def _fetch(self, attempts: _Attempts, limit: int) -> Response:
        while True:
            plugin, link = attempts.at_once() or await attempts.wait()
            plugin.in_flight += 1
            plugin.calls += 1
            try:
                response = await link.transport.fetch(attempts.request, limit)
            except BaseException as error:
                await plugin.settle(link, error)
                if not attempts.broke(plugin, error):
                    await _explain(plugin, link, error)
                    raise
            else:
                if attempts.answered(plugin, response.status):
                    return response
            finally:
                plugin.call_ended()
            await attempts.pause()

    async def send(self, request: Request) -> StreamingResponse:
        """Send a request to its plugin and return the response as it arrives."""
        attempts = _Attempts(self, request)
        observer = self.registry.call_observer
        if observer is None:
            return await self._send(attempts)
        attempts.call = call = observer.begin("", request.path, request.body)
        attempts.request = call.counted(request)
        return await call.send(self._send(attempts))

    async def _send(self, attempts: _Attempts) -> StreamingResponse:
        while True:
            plugin, link = attempts.at_once() or await attempts.wait()
            plugin.in_flight += 1
            plugin.calls += 1
            try:
                incoming = await link.transport.send(attempts.request)
            except BaseException as error:
                plugin.call_ended()
                await plugin.settle(link, error)
                if not attempts.broke(plugin, error):
                    await _explain(plugin, link, error)
                    raise
            else:
                if answers_stream(incoming):
                    return RoutedResponse(incoming, plugin, link, attempts.ended)
                routed = RoutedResponse(incoming, plugin, link)
                if attempts.answered(plugin, incoming.status):
                    return routed
                await routed.aclose()
            await attempts.pause()

    async def choose(self, plugin: str, timeout: float) -> tuple[PluginRecord, Link]:
        """The replica of a plugin that a call would go to now, as soon as there is one.

        Args:
            plugin: the plugin's name.
            timeout: seconds to wait for one that is starting.

        Raises:
            PluginError: there is no such plugin, or none of its replicas runs, or will by itself.
            TimeoutError: the time is over.
        """
        attempts = _Attempts(self.named(plugin), Request("", timeout=timeout))
        try:
            chosen = attempts.at_once() or await attempts.wait()
        except ExchangeError as error:
            raise (error.__cause__.in_full() if isinstance(error.__cause__, PluginError) else error) from None
        _abandoned(chosen[0])
        return chosen

    def replicas(self, path: str) -> Sequence[PluginRecord]:
        """The plugins that can take a request for a path: one, or its replicas.

        Raises:
            ExchangeError: no plugin can take it.
        """
        try:
            if self._plugin is not None:
                return self.registry.named(self._plugin)
            return self.registry.serving(path[1:].partition("/")[0])
        except PluginError as error:
            raise ExchangeError(str(error), sent=False) from error.brief()


class Budget:
    """What a router may spend on retries: each call earns a part of one, so that retries do not multiply the load.

    Args:
        policy: how much a call earns, and how much may be saved.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._most = policy.budget
        self._earned = policy.earned
        self._left = policy.budget

    def earn(self) -> None:
        """Note a call."""
        self._left = min(self._left + self._earned, self._most)

    def spend(self) -> bool:
        """Take one retry out, if there is one."""
        enough = self._left >= 1
        self._left -= enough
        return enough


class _Attempts:
    """One call, which may be made several times."""

    __slots__ = ("_before", "_began", "_count", "_ends", "_failed", "_loop", "_replicas", "_router", "call", "request")

    def __init__(self, router: Router, request: Request) -> None:
        self._router = router
        self._loop = asyncio.get_running_loop()
        self._ends = None if request.timeout is None else self._loop.time() + request.timeout
        self._count = 1
        self._began = 0.0
        self._before = 0  # calls that the plugin had answered when this attempt began
        self._failed: PluginRecord | None = None
        self._replicas: Sequence[PluginRecord] = ()
        self.call: ObservedCall | None = None  # is told which plugin is called, while somebody watches
        self.request = request
        router.budget.earn()

    def at_once(self) -> tuple[PluginRecord, Link] | None:
        """The plugin to call now, `None` when none can be called yet."""
        self._replicas = self._router.replicas(self.request.path)
        able = [
            plugin
            for plugin in self._replicas
            if plugin.ready and (plugin.breaker is None or plugin.breaker.admits(self._loop.time(), self._identity()))
        ]
        if not able:
            return None
        best = able[0] if len(able) == 1 else self._router.balancer.choose(able, self._failed, self._loop.time())
        if best.link is None:
            return None
        if best.peer is not None:
            self._began = self._loop.time()
        if best.breaker is not None:
            best.breaker.begin(self._loop.time())
        self._before = best.answered
        if self.call is not None:
            self.call.sent_to(best.name)
        return best, best.link

    def _identity(self) -> Hashable:
        body = self.request.body
        return hash((self.request.path, body if isinstance(body, bytes) else None))

    async def wait(self) -> tuple[PluginRecord, Link]:
        """The plugin to call, as soon as there is one.

        Raises:
            ExchangeError: none runs, or will by itself; or the circuits of all that run are open.
            TimeoutError: the call's time is over.
        """
        async with asyncio.timeout_at(self._ends):
            while (found := self.at_once()) is None:
                coming = [plugin for plugin in self._replicas if plugin.will_run and not plugin.ready]
                if not coming:
                    raise none_reachable(self._replicas)
                await any_changed(coming, timed=self._ends is not None)
        if self._ends is not None:
            self._renew(self._ends - self._loop.time())
        return found

    def _renew(self, timeout: float) -> None:
        """Let the transport wait for no longer than what is left."""
        self.request = replace(self.request, timeout=max(timeout, 0.0))

    def answered(self, plugin: PluginRecord, status: int) -> bool:
        """Note that a response has come; whether it stands, as the call is not made again."""
        if status == UNAVAILABLE:
            return not self._again(plugin, None)
        if status == DEADLINE_EXCEEDED and self._ends is not None:
            self._ran_out(plugin)
        else:
            plugin.call_answered()
            if plugin.peer is not None:
                self._router.balancer.answered(plugin, self._loop.time() - self._began)
        return True

    def broke(self, plugin: PluginRecord, error: BaseException) -> bool:
        """Note that no response has come; whether the call may be made again."""
        if isinstance(error, BodyTooLarge):  # The plugin did answer; the limit is the caller's own.
            _abandoned(plugin)
        elif isinstance(error, ExchangeError | LinkError):
            return self._again(plugin, error)
        elif isinstance(error, TimeoutError):
            self._ran_out(plugin)
        else:
            self.ended(plugin, Code.CANCELED)
        return False

    def ended(self, plugin: PluginRecord, code: Code | None) -> None:
        """Note how a call has ended that is not made again.

        Args:
            plugin: the plugin that was called.
            code: what it has failed with; `None` when the plugin has answered, whatever the answer. A caller whose time
                is over may cancel the call before anything else tells so.
        """
        if code is Code.CANCELED and self._ends is not None:
            left = self._ends - self._loop.time() - self.request.grace
            if left <= (EARLY if self.request.grace else 0.0):
                code = Code.DEADLINE_EXCEEDED
        if code is Code.UNAVAILABLE:
            self._note_failure(plugin)
        elif code is Code.DEADLINE_EXCEEDED and self._ends is not None:
            self._ran_out(plugin)
        elif code is Code.CANCELED:
            _abandoned(plugin)
        else:
            self.answered(plugin, OK)

    def _note_failure(self, plugin: PluginRecord) -> None:
        now = self._loop.time()
        plugin.call_failed(now, self._identity())
        if plugin.peer is not None:
            self._router.balancer.failed(plugin, now)

    def _ran_out(self, plugin: PluginRecord) -> None:
        """Note that the call's time is over: a failure of the plugin, unless it has answered others meanwhile."""
        if plugin.answered == self._before:
            self._note_failure(plugin)
        else:
            _abandoned(plugin)

    def _again(self, plugin: PluginRecord, error: ExchangeError | LinkError | None) -> bool:
        """Note a failure, and say whether the call may be made again.

        A plugin may have ended by this very call: what it had been sent goes to another replica, or nowhere. That one
        is not loaded any more by another attempt, and so the budget, which bounds that load, is left alone.

        Args:
            plugin: the plugin that was called.
            error: what broke the exchange; `None` when the plugin answered that it is unavailable.
        """
        self._note_failure(plugin)
        self._failed = plugin
        policy = self._policy(plugin)
        never_sent = isinstance(error, LinkError) or (error is not None and not error.sent)
        if not never_sent and not ((self.request.idempotent or policy.idempotent) and self._somebody_is_left()):
            return False
        if self._count >= policy.attempts or not isinstance(self.request.body, bytes):
            return False
        self._count += 1
        return not plugin.ready or self._router.budget.spend()

    def _policy(self, plugin: PluginRecord) -> RetryPolicy:
        return plugin.policies.methods.get(self.request.path, plugin.policies.retry)

    def _somebody_is_left(self) -> bool:
        with suppress(ExchangeError):  # Others may have come since the call began.
            self._replicas = self._router.replicas(self.request.path)
        return any(plugin.ready for plugin in self._replicas)

    async def pause(self) -> None:
        """Wait before the next attempt, and no longer than the call has time.

        Raises:
            TimeoutError: the call's time is over.
        """
        async with asyncio.timeout_at(self._ends):
            assert self._failed is not None
            policy = self._policy(self._failed)
            await asyncio.sleep(policy.delay_before(self._count, self._router.chance))
        if self._ends is not None:
            self._renew(self._ends - self._loop.time())


def _abandoned(plugin: PluginRecord) -> None:
    """Note that a call has ended in a way that says nothing of the plugin."""
    if plugin.breaker is not None:
        plugin.breaker.abandoned()


async def _explain(plugin: PluginRecord, link: Link, error: BaseException) -> None:
    """Raise what the caller is told in place of an error that the plugin or its link is the reason of."""
    if isinstance(error, ExchangeError | LinkError) and not isinstance(error, BodyTooLarge):
        raise await plugin.explain(link, error) from error
