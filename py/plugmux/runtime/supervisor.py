"""Drives one launched plugin: start, registration, work, end, and starting again.

One task per plugin runs `_live`; it owns the process and the link of every run and leaves none behind. It writes
what becomes of the plugin to the record.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING

from plugmux_proto.plugins.v1.plugins_connect import PluginClient
from plugmux_proto.plugins.v1.plugins_pb2 import ShutdownRequest

from ..aio.closing import until_stopped
from ..aio.race import race
from ..contract.registration import ConfigurationRefused, Registration, RegistrationRefused
from ..errors import PluginCause, PluginError, PlugmuxError, ProtocolViolation, describe_exit
from ..link.link import Link, Peer
from .logs.log import LogSource, PluginLog
from .plugin import PluginRecord
from .registrar import Registrar, RegistrationHandler
from .settings import Policies, RestartPolicy, Timeouts
from .source import Launch
from .state import State

if TYPE_CHECKING:
    from .process.run import Run
    from .source import Runner

__all__ = ["Supervisor"]

logger = logging.getLogger("plugmux.runtime")

STILL_STARTING = (5.0, 15.0, 30.0)
"""Seconds after which the log says that a plugin has not registered yet."""

SLOT_TIME = 5.0
"""Seconds that one start counts as one of those that may run at the same time: a plugin that never registers does not
hold the others up."""


class Supervisor:
    """Starts a plugin, and starts it again when it ends by itself.

    Args:
        launch: what to start.
        registrar: what the runtime offers it.
        policies: how the runtime treats it.
        starts: bounds how many plugins start at the same time.

    Attributes:
        record: what is known of the plugin; this alone writes it.
    """

    def __init__(self, launch: Launch, registrar: Registrar, policies: Policies, starts: asyncio.Semaphore) -> None:
        self.launch = launch
        self.record = PluginRecord(
            launch.name, State.STOPPED, self, policies, grants=launch.grants, claims=launch.claims
        )
        self._runner = launch.runner or _local_runner()
        self._registrar = registrar
        self._log = registrar.logs.of(launch.name)
        self._restart = launch.restart or policies.restart
        self._timeouts = policies.timeouts
        self._timeout = launch.timeout or policies.timeouts.registration
        self._starts = starts
        self._stop = asyncio.Event()
        self._final = State.STOPPED
        self._leaving = False
        self._task: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run: it has not been asked to end since its last start."""
        return not self._stop.is_set()

    def start(self) -> None:
        """Begin to live, in a task that `stop` ends; harmless where it lives already."""
        if self._task is None or self._task.done():
            self._stop.clear()
            self.record.move(State.STARTING)
            self._task = asyncio.create_task(self._live(), name=f"plugmux: plugin {self.record.name}")

    async def ended(self) -> None:
        """Wait for its end, if it has been asked to end."""
        if self._stop.is_set() and self._task is not None:
            await asyncio.wait([self._task])

    async def started(self) -> None:
        """Wait until the start has succeeded or failed, and what a failed one left is cleared away."""
        while self.record.state in (State.STARTING, State.REGISTERING, State.CRASHED):
            await self.record.changed()

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
        self.record.move(self._final)

    async def leave(self) -> None:
        """End its part in a runtime that closes; the process of a detached plugin lives on."""
        self._leaving = True
        await self.stop()

    async def _live(self) -> None:
        await self._run_until_stopped()
        if self._stop.is_set():  # The task that asked for it may have been cancelled.
            self.record.move(self._final)

    async def _run_until_stopped(self) -> None:
        policy = self._restart
        failures, delay, failing_since = 0, policy.delay, 0.0
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            began = loop.time()
            try:
                error = await self._run_once()
            except Exception as fault:  # A runner that is not ours may raise anything.
                logger.exception("the run of plugin %s has failed", self.record.name)
                self.record.pid = self.record.link = None
                if self._stop.is_set():
                    return
                error = self._crashed(
                    PluginError(self.record.name, PluginCause.RUNNER_FAILED, f"its run failed: {fault!r}")
                )
            if error is None:
                return
            if loop.time() - began >= policy.healthy_after or not failures:
                failures, delay, failing_since = 0, policy.delay, loop.time()
            failures += 1
            if not self._worth_a_try(error, failures, loop.time() - failing_since):
                self.record.move(State.GAVE_UP, error.detail, error)
                return
            pause = _jittered(delay, policy)
            self._back_off(error, failures, pause)
            if await self._stopped_within(pause):
                return
            delay = min(delay * 2, policy.longest_delay)

    def _begin(self) -> None:
        """Note that a run begins."""
        if self.record.state is State.BACKING_OFF:
            self.record.restarts += 1
        self.record.move(State.STARTING)

    def _back_off(self, error: PluginError, failures: int, pause: float) -> None:
        """Note that it is started again after a while.

        Args:
            error: how the last run has ended.
            failures: how many have failed in a row.
            pause: seconds until the next.
        """
        self.record.move(State.BACKING_OFF, f"{error.detail}; starts again in {pause:.1f} s", error)

    def _worth_a_try(self, error: PluginError, failures: int, failing_for: float) -> bool:
        """Whether a restart can mend it: only a plugin that has once registered is started again, or waited for."""
        hopeful = self.record.registration is not None or self._runner.untimed
        return hopeful and failures <= self._restart.tries and failing_for < self._restart.time_limit

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        return self._stop.is_set()

    async def _run_once(self) -> PluginError | None:
        """One run, from start to end; `None` when it ended because it was asked to."""
        self._begin()
        async with AsyncExitStack() as running:
            await running.enter_async_context(_slot(self._starts))
            if self._stop.is_set():
                return None
            try:
                self._registrar.precheck(self.launch)
                start = partial(self._runner.start, self.launch, self._timeout, self._log)
                process = await until_stopped(start, self._stop, self._timeouts.terminate)
            except PluginError as error:
                return self._crashed(error)
            if process is None:
                return None
            link: Link | None = None
            grace = 0.0
            try:
                self.record.pid = process.pid
                peer = Peer(self.record.name, pid=process.pid, address=self._runner.address)
                link, handler = self._registrar.open_link(peer, self.record.policies, self._admit)
                await process.connect(link)
                self.record.move(State.REGISTERING)
                failure = await self._register(process, link, handler)
                await running.aclose()
                registered = failure is None and handler.registration is not None
                if registered:
                    grace = self._timeouts.exit
                if failure is None and not self._stop.is_set():
                    self.record.link, self.record.peer = link, link.peer if link.peer.address else None
                    self.record.move(State.RUNNING)
                    failure = await self._serve(process, link)
                    link = self.record.link or link  # It may have linked again.
                self.record.link = None
                if failure is not None:
                    return self._crashed(failure)
                self.record.move(State.STOPPING)
                if registered and self._leaving and self._runner.outlives_runtime:
                    await link.close(self._timeouts.drain)
                    grace = 0.0
                elif registered:
                    await self._shut_down(link)
            finally:
                await _end(process, link, grace, self._timeouts)
                self.record.pid = self.record.link = None
        return None

    def _crashed(self, error: PluginError) -> PluginError:
        """Report a crash at once: calls in flight wait for the reason of their failure."""
        self.record.move(State.CRASHED, error.detail, error)
        self._log.write(LogSource.RUNTIME, logging.WARNING, str(error))
        return error

    def _admit(self, registration: Registration) -> None:
        if registration.name != self.record.name:
            raise RegistrationRefused(
                "plugin name cannot be changed when launched by engine: "
                f"{self.record.name!r} registered as {registration.name!r}"
            )
        self.launch.claims.check(registration)
        for grant in self.record.grants:
            grant.check(registration)
        self.record.given = self._registrar.configurations.get(registration.name, "")

    async def _register(self, process: Run, link: Link, handler: RegistrationHandler) -> PluginError | None:
        registered = handler.registered
        waiting = (asyncio.wait([registered]), process.wait(), link.wait_closed(), self._stop.wait(), self._timeout)
        with nullcontext() if self._runner.untimed else _still_starting(self._log, self._timeout):
            await race(*waiting)
        if registered.done():
            try:
                self.record.registration = registered.result()
            except ConfigurationRefused as error:
                return self._failure(process, PluginCause.BAD_CONFIGURATION, str(error))
            except RegistrationRefused as error:
                return self._failure(process, PluginCause.REFUSED, f"its registration was refused: {error}")
            return None
        if self._stop.is_set():
            return None
        if process.running and not link.closed:
            return self._failure(process, PluginCause.LATE, f"it did not register within {self._timeout:g} s")
        return await self._post_mortem(process, link, "before it had registered")

    async def _serve(self, process: Run, link: Link) -> PluginError | None:
        why = ""

        async def hung() -> None:
            nonlocal why
            why = await self._registrar.hung(self.record, link, process)

        await race(process.wait(), link.wait_closed(), self._stop.wait(), hung())
        if self._stop.is_set():
            return None
        if why:
            if self._runner.outlives_runtime:  # It would be given up, and found again as it hangs.
                process.kill()
            return self._failure(process, PluginCause.HUNG, why)
        return await self._post_mortem(process, link, "while it was serving")

    async def _post_mortem(self, process: Run, link: Link, when: str) -> PluginError:
        broken = isinstance(link.reason, ProtocolViolation)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeouts.post_mortem):
                await process.wait()
        if not process.running and not (broken and process.exit_code == 0):  # It ends well when it is cut off for it.
            return self._ended(process, when)
        if broken:
            return self._failure(process, PluginCause.NOT_A_PLUGIN, f"it broke the protocol {when}: {link.reason}")
        return self._failure(process, PluginCause.LINK_LOST, f"it closed its link {when}, and did not end")

    def _ended(self, process: Run, when: str) -> PluginError:
        said = f"it {describe_exit(process.exit_code, process.signal_number)} {when}"
        if self.record.registration is None:
            from .process.ended import why_not_registered

            said += why_not_registered(process, self.launch.command)
        said += "" if process.stderr_tail else ", and wrote nothing on stderr"
        if process.over_limit is not None:
            return self._failure(process, PluginCause.OVER_LIMIT, f"{said}: {process.over_limit}")
        return self._failure(process, PluginCause.EXITED, said)

    def _failure(self, process: Run, cause: PluginCause, detail: str) -> PluginError:
        return PluginError(
            self.record.name,
            cause,
            detail,
            exit_code=process.exit_code,
            signal_number=process.signal_number,
            stderr=process.stderr_tail,
        )

    async def _shut_down(self, link: Link) -> None:
        """Ask the plugin to end, then close the link when nothing is in flight or the time is over."""
        with suppress(PlugmuxError, TimeoutError):
            await link.client(PluginClient).shutdown(ShutdownRequest(), timeout=self._timeouts.shutdown)
        await link.close(self._timeouts.drain)


async def _end(process: Run, link: Link | None, grace: float, limits: Timeouts) -> None:
    """Leave neither link nor process: wait for `grace` seconds, terminate, kill."""
    if link is not None:
        link.abort()
    try:
        await _end_process(process, grace, limits)
    finally:
        if link is not None:
            await link.close(0)


async def _end_process(process: Run, grace: float, limits: Timeouts) -> None:
    steps = ((None, grace), (process.terminate, limits.terminate), (process.kill, limits.kill))
    for insist, limit in steps:
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
    told = "process %s has not ended within %g s after it was killed, and is left behind"
    logger.error(told, process.pid, limits.kill)


def _jittered(delay: float, policy: RestartPolicy) -> float:
    return delay * (1 + policy.jitter * random.uniform(-1, 1))  # noqa: S311 -- jitter, not a secret


def _local_runner() -> Runner:
    from .process.local import LocalRunner

    return LocalRunner()


@asynccontextmanager
async def _slot(starts: asyncio.Semaphore) -> AsyncIterator[None]:
    """Take one of the slots for starts, and give it back at the end of the block, or after `SLOT_TIME`."""
    await starts.acquire()
    held = True

    def release() -> None:
        nonlocal held
        if held:
            held = False
            starts.release()

    timer = asyncio.get_running_loop().call_later(SLOT_TIME, release)
    try:
        yield
    finally:
        timer.cancel()
        release()


@contextmanager
def _still_starting(log: PluginLog, timeout: float) -> Iterator[None]:
    """Say in the plugin's log that it still starts, as long as the block has not ended."""
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(after, _tell, log, after, timeout) for after in STILL_STARTING if after < timeout]
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _tell(log: PluginLog, after: float, timeout: float) -> None:
    log.write(
        LogSource.RUNTIME,
        logging.WARNING,
        f"plugin {log.name!r} is still starting: it has not registered within {after:g} s, and has {timeout:g} s "
        f"(Timeouts.registration, or timeout of its Launch)",
    )
