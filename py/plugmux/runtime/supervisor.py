"""The life of a plugin that the runtime launches: start, registration, work, end, and starting again.

One task per plugin runs `live`; it owns the process and the link of every run and leaves none behind.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext, suppress

from plugmux_proto.plugins.v1.plugins_connect import PluginClient
from plugmux_proto.plugins.v1.plugins_pb2 import ShutdownRequest

from ..aio.race import race
from ..contract.grant import Grant
from ..contract.registration import Registration, RegistrationRefused
from ..errors import PlugmuxError, ProtocolViolation
from ..link.link import Link, Peer
from .calls.breaker import BreakerPolicy
from .error import PluginCause, PluginError, describe_exit
from .logs.log import LogSource
from .plugin import PluginHandle
from .process.local import LocalRunner
from .process.runner import Run, Runner
from .registrar import Registrar, RegistrationHandler
from .source import Launch, RestartPolicy
from .starting import start_slot, still_starting
from .state import State

__all__ = ["Supervisor", "shut_down"]

logger = logging.getLogger("plugmux.runtime")

SHUTDOWN_TIME = 2.0
DRAIN_TIME = 2.0
EXIT_TIME = 2.0
TERMINATE_TIME = 2.0
KILL_TIME = 5.0
"""Seconds that a process which has been killed is waited for: one that the kernel holds up may never end."""
STDERR_TIME = 1.0
"""Seconds that a process whose link has ended is given to end by itself, so that its exit can be told."""


class Supervisor(PluginHandle):
    """A plugin that the runtime starts, and starts again when it ends by itself.

    Args:
        launch: what to start.
        reception: what the runtime offers it.
        timeout: seconds for its registration.
        starts: bounds how many plugins start at the same time.
        on_change: told of every change of state.
        breaker: when calls are kept from it.
    """

    def __init__(
        self,
        launch: Launch,
        reception: Registrar,
        timeout: float,
        starts: asyncio.Semaphore,
        on_change: Callable[[PluginHandle, State], None],
        breaker: BreakerPolicy,
    ) -> None:
        super().__init__(launch.name, State.STOPPED, on_change, breaker=breaker)
        self.launch = launch
        self._runner: Runner = launch.runner if launch.runner is not None else LocalRunner()
        self._reception = reception
        self._log = reception.logs.of(launch.name)
        self._timeout = launch.timeout if launch.timeout is not None else timeout
        self._starts = starts
        self._stop = asyncio.Event()
        self._final = State.STOPPED
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The most that it may claim, as its launch and its manifest say."""
        return self.launch.grants

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run: nobody has asked it to end since it was last started."""
        return not self._stop.is_set()

    def start(self) -> None:
        """Begin to live, in a task that `stop` ends; harmless where it lives already."""
        if self._task is None or self._task.done():
            self._stop.clear()
            self.move(State.STARTING)
            self._task = asyncio.create_task(self._live(), name=f"plugmux: plugin {self.name}")

    async def ended(self) -> None:
        """Wait for the end of one that has been asked to end; harmless where nobody has."""
        if self._stop.is_set() and self._task is not None:
            await asyncio.wait([self._task])

    async def started(self) -> None:
        """Wait until the start has succeeded or failed, and what a failed one left is cleared away."""
        while self.state in (State.STARTING, State.REGISTERING, State.CRASHED):
            await self.changed()

    async def stop(self, final: State = State.STOPPED) -> None:
        """End the plugin in order: Shutdown, go-away, wait, close, terminate, kill.

        Args:
            final: the state to leave it in, `STOPPED` or `DISABLED`.
        """
        self._final = final
        self._stop.set()
        if (task := self._task) is not None:
            await asyncio.wait([task])
            if self._task is not task:  # Somebody else has waited for it as well, and may have started it again.
                return
            self._task = None
        self.move(self._final)

    async def leave(self) -> None:
        """End the stay with a runtime that closes; the process of a detached plugin lives on."""
        self._leaving = True
        await self.stop()

    async def _live(self) -> None:
        await self._run_until_stopped()
        if self._stop.is_set():  # Whoever asked for it may not have waited.
            self.move(self._final)

    async def _run_until_stopped(self) -> None:
        policy = self.launch.restart
        failures, delay, failing_since = 0, policy.delay, 0.0
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                error = await self._run_once()
            except Exception as fault:  # A runner that is not ours may raise anything.
                logger.exception("the run of plugin %s has failed", self.name)
                self.pid = self.link = None
                if self._stop.is_set():
                    return
                error = self._crashed(PluginError(self.name, PluginCause.RUNNER_FAILED, f"its run failed: {fault!r}"))
            if error is None:
                return
            if loop.time() - began >= policy.healthy_after or not failures:
                failures, delay, failing_since = 0, policy.delay, loop.time()
            failures += 1
            if not self._worth_a_try(error, failures, loop.time() - failing_since):
                self.move(State.GAVE_UP, error.detail, error)
                return
            self.move(State.BACKING_OFF, f"{error.detail}; starts again in {delay:.1f} s", error)
            if await self._stopped_within(_jittered(delay, policy)):
                return
            delay = min(delay * 2, policy.longest_delay)
            self.restarts += 1

    def _worth_a_try(self, error: PluginError, failures: int, failing_for: float) -> bool:
        """Whether a restart can mend it: only a plugin that has once registered is started again, or waited for."""
        policy = self.launch.restart
        hopeful = self.registration is not None or self.launch.by_hand
        return hopeful and failures <= policy.tries and failing_for < policy.time_limit

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()

    async def _run_once(self) -> PluginError | None:
        """One run, from start to end; `None` when it ended because it was asked to."""
        self.move(State.STARTING)
        async with AsyncExitStack() as slot:
            await slot.enter_async_context(start_slot(self._starts))
            if self._stop.is_set():
                return None
            try:
                self._reception.precheck(self.launch)
                process = await self._runner.start(self.launch, self._timeout, self._log)
            except PluginError as error:
                return self._crashed(error)
            link: Link | None = None
            patience = 0.0
            try:
                self.pid = process.pid
                link, desk = self._reception.open_link(Peer(self.name, pid=process.pid), self._admit)
                await process.connect(link)
                self.move(State.REGISTERING)
                failure = await self._register(process, link, desk)
                await slot.aclose()
                registered = failure is None and desk.registration is not None
                if registered:
                    patience = EXIT_TIME
                if failure is None and not self._stop.is_set():
                    self.link = link
                    self.move(State.RUNNING)
                    failure = await self._serve(process, link)
                self.link = None
                if failure is not None:
                    return self._crashed(failure)
                self.move(State.STOPPING)
                if registered and self._leaving and process.outlives:
                    await link.close(DRAIN_TIME)
                    patience = 0.0
                elif registered:
                    await shut_down(link)
            finally:
                await _end(process, link, patience)
                self.pid = self.link = None
        return None

    def _crashed(self, error: PluginError) -> PluginError:
        """Tell of a crash at once: calls in flight are waiting to hear why they broke."""
        self.move(State.CRASHED, error.detail, error)
        self._log.write(LogSource.RUNTIME, logging.WARNING, str(error))
        return error

    def _admit(self, registration: Registration) -> None:
        if registration.name != self.name:
            raise RegistrationRefused(
                "plugin name cannot be changed when launched by engine: "
                f"{self.name!r} registered as {registration.name!r}"
            )
        self.launch.promise.check(registration)
        self._reception.permissions.check_module(registration)
        for grant in self.grants:
            grant.check(registration)

    async def _register(self, process: Run, link: Link, desk: RegistrationHandler) -> PluginError | None:
        registered = desk.registered
        waiting = (asyncio.wait([registered]), process.wait(), link.wait_closed(), self._stop.wait(), self._timeout)
        with nullcontext() if self.launch.by_hand else still_starting(self._log, self._timeout):
            await race(*waiting)
        if registered.done():
            try:
                self.registration = registered.result()
            except RegistrationRefused as error:
                return self._failure(process, PluginCause.REFUSED, f"its registration was refused: {error}")
            return None
        if self._stop.is_set():
            return None
        if process.running and not link.closed:
            return self._failure(process, PluginCause.LATE, f"it did not register within {self._timeout:g} s")
        return await self._post_mortem(process, link, "before it had registered")

    async def _serve(self, process: Run, link: Link) -> PluginError | None:
        prober = self._reception.prober(self, link, process)
        await race(process.wait(), link.wait_closed(), self._stop.wait(), prober.hung())
        if self._stop.is_set():
            return None
        if prober.verdict is not None:
            if process.outlives:  # It would be given up, and found again as it hangs.
                process.kill()
            return self._failure(process, PluginCause.HUNG, prober.verdict)
        return await self._post_mortem(process, link, "while it was serving")

    async def _post_mortem(self, process: Run, link: Link, when: str) -> PluginError:
        broken = isinstance(link.reason, ProtocolViolation)
        with suppress(TimeoutError):
            async with asyncio.timeout(STDERR_TIME):
                await process.wait()
        if not process.running and not (broken and process.exit_code == 0):  # It ends well when it is cut off for it.
            return self._ended(process, when)
        if broken:
            return self._failure(process, PluginCause.NOT_A_PLUGIN, f"it broke the protocol {when}: {link.reason}")
        return self._failure(process, PluginCause.LINK_LOST, f"it closed its link {when}, and did not end")

    def _ended(self, process: Run, when: str) -> PluginError:
        said = f"it {describe_exit(process.exit_code, process.signal_number)} {when}"
        if process.over_limit is not None:
            return self._failure(process, PluginCause.OVER_LIMIT, f"{said}: {process.over_limit}")
        return self._failure(process, PluginCause.EXITED, said)

    def _failure(self, process: Run, cause: PluginCause, detail: str) -> PluginError:
        return PluginError(
            self.name,
            cause,
            detail,
            exit_code=process.exit_code,
            signal_number=process.signal_number,
            stderr=process.stderr_tail,
        )


async def shut_down(link: Link) -> None:
    """Ask the plugin to end, then close the link when nothing is in flight or the time is over."""
    with suppress(PlugmuxError, TimeoutError):
        await link.client(PluginClient).shutdown(ShutdownRequest(), timeout=SHUTDOWN_TIME)
    await link.close(DRAIN_TIME)


async def _end(process: Run, link: Link | None, patience: float = 0.0) -> None:
    """Leave neither link nor process: wait, terminate, kill.

    Args:
        process: the process to end.
        link: its link, if there was one.
        patience: seconds that the process is given to end by itself before it is terminated.
    """
    if link is not None:
        link.abort()
    try:
        await _end_process(process, patience)
    finally:
        if link is not None:
            await link.close(0)


async def _end_process(process: Run, patience: float) -> None:
    for insist, limit in ((None, patience), (process.terminate, TERMINATE_TIME), (process.kill, KILL_TIME)):
        try:
            if insist is not None:
                insist()
        except Exception:  # A runner that is not ours may raise anything.
            if insist == process.kill:
                raise
            logger.exception("a plugin could not be terminated, and is killed")
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await process.wait()
                return
    logger.error("process %s has not ended within %g s after it was killed, and is left behind", process.pid, KILL_TIME)


def _jittered(delay: float, policy: RestartPolicy) -> float:
    return delay * (1 + policy.jitter * random.uniform(-1, 1))  # noqa: S311 -- jitter, not a secret
