"""Counts and times the calls of a runtime while somebody watches, and keeps a sample of them.

Every call and every error is counted. How long calls take is noted of all while there are few, and of a random sample
of each busy method while there are many: of calls that are not timed, nothing but sums is kept.

Nobody pays for it otherwise: a router looks at one attribute for each call, `Registry.call_observer`, which is `None`
while nobody watches. The counts stay when the last watcher leaves, and go on with the next.

What is kept is bounded: the number of methods, of sampled calls, and the length of every text. No message is kept.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Protocol

from ...link.references import PREFIX
from .call import CallRecord, MethodCalls, ObservedCall
from .served import ServedCalls

if TYPE_CHECKING:
    from ...link.link import Link

__all__ = ["CallObserver"]

MAX_METHODS = 2000
"""Methods that are counted one by one; the calls of all others are counted under `OTHER`."""

MAX_METHOD_NAME = 256
OTHER = "(other)"

TIMED_PER_SECOND = 500.0
"""Calls that are timed of each second, as nearly as the second before tells."""

RARE = 10.0
"""Calls a second of one method, up to which each of them is timed."""

PERIOD = 1.0
"""Seconds after which it is decided anew how many calls are timed."""

MAX_SAMPLES = 1000
"""Calls that are kept for the watchers."""

SAMPLES_PER_SECOND = 100.0
"""Calls that are kept of each second, once `BURST` calls have come without a pause."""

BURST = 250.0
"""Calls that are kept however fast they come, and as many more that failed."""

SECRET_SERVICES = ("resolver.v1.", "accesscontrol.v1.")
"""Services of whose errors only the code is kept; so of those that are counted under `OTHER`."""


class Calling(Protocol):
    """Names the observer to those who carry calls to plugins.

    Attributes:
        call_observer: the observer; `None` while nobody watches.
    """

    call_observer: CallObserver | None


class Serving(Protocol):
    """The links on which plugins call the host.

    Attributes:
        links: those that are open.
        on_link: called with each that is opened.
    """

    @property
    def links(self) -> Iterable[Link]: ...
    @property
    def on_link(self) -> set[Callable[[Link], None]]: ...


class CallObserver:
    """Counts the calls of a runtime for all who watch.

    Args:
        calling: is told of the observer while somebody watches: the registry.
        serving: has the links: the registrar.
        clock: gives seconds, for durations.
        chance: gives numbers from 0 up to 1, which choose the calls that are timed.

    Attributes:
        methods: the sums, by caller, callee and method.
        begin: notes that a call begins; takes the caller, the path and the body, and gives the `ObservedCall`.
        adjust_at: when to decide anew how many calls are timed, by the clock.
        samples: calls that have ended, oldest first.
    """

    def __init__(
        self,
        calling: Calling,
        serving: Serving,
        clock: Callable[[], float] = time.perf_counter,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._calling = calling
        self._serving = serving
        self._chance = chance
        self._watchers = 0
        self._timing_all = 0
        self._tokens = BURST
        self._refilled = clock()
        self._adjusted = self._refilled
        self._ended_before = 0
        self._kept = 0
        self.clock = clock
        self.begin = partial(ObservedCall, self)
        self.adjust_at = self._refilled + PERIOD
        self.methods: dict[tuple[str, str, str], MethodCalls] = {}
        self.samples: deque[CallRecord] = deque(maxlen=MAX_SAMPLES)

    @contextmanager
    def watch(self, *, time_all: bool = False) -> Iterator[None]:
        """Count and time calls for the length of a block.

        Args:
            time_all: time each call, however many there are.
        """
        self._watchers += 1
        if time_all:
            self._timing_all += 1
            self._adjust(self.clock())
        if self._watchers == 1:
            self._calling.call_observer = self
            self._serving.on_link.add(self._observe)
            for link in list(self._serving.links):
                self._observe(link)
        try:
            yield
        finally:
            self._watchers -= 1
            self._timing_all -= time_all
            if not self._watchers:
                self._calling.call_observer = None
                self._serving.on_link.discard(self._observe)
                for link in list(self._serving.links):
                    if isinstance(link.app, ServedCalls):
                        link.app.remove()

    def _observe(self, link: Link) -> None:
        link.app = ServedCalls(link, self)

    @property
    def ended(self) -> int:
        """How many calls have ended."""
        return sum(sums.calls for sums in self.methods.values())

    def samples_since(self, number: int, most: int) -> list[CallRecord]:
        """The calls behind a number that were kept, oldest first; of too many the failed ones and the newest.

        Args:
            number: of the last call that is not wanted.
            most: how many to give at most.
        """
        found: list[CallRecord] = []
        for record in reversed(self.samples):
            if record.number <= number:
                break
            found.append(record)
        if len(found) > most:
            failed = [record for record in found if record.code][:most]
            passed = [record for record in found if not record.code][: most - len(failed)]
            found = sorted(failed + passed, key=lambda record: -record.number)
        return found[::-1]

    def sums_of(self, caller: str, callee: str, path: str) -> MethodCalls:
        """The sums of a method, which are made when it is called first."""
        found = self.methods.get((caller, callee, path))
        if found is not None:
            return found
        if (short := _without_secrets(path)) != path:
            return self.sums_of(caller, callee, short)
        key = caller, callee, path
        if len(self.methods) >= MAX_METHODS:
            key = "", "", OTHER
        if key not in self.methods:
            name = path[1:] if key[2].count("/") == 2 else key[2]
            secret = key[2] == OTHER or any(service in path for service in SECRET_SERVICES)
            self.methods[key] = MethodCalls(*key[:2], name, secret)
        return self.methods[key]

    def note(self, call: ObservedCall, sums: MethodCalls, response_bytes: int, code: str, message: str) -> None:
        """Note a call that has ended, and keep it where it is one of the sample."""
        now = self.clock()
        duration = now - call.began
        if now >= self.adjust_at:
            self._adjust(now)
        sums.calls += 1
        sums.request_bytes += call.request_bytes
        sums.response_bytes += response_bytes
        if code:
            sums.errors += 1
            sums.codes[code] = sums.codes.get(code, 0) + 1
        if sums.untimed:
            sums.untimed -= 1
        else:
            sums.seconds += duration
            sums.latencies.add(int(duration * 1e6))
            if sums.every > 1:
                sums.untimed = int(self._chance() * (2 * sums.every - 1))
        tokens = self._tokens + (now - self._refilled) * SAMPLES_PER_SECOND
        if tokens > BURST:
            tokens = BURST
        self._refilled = now
        if tokens >= 1 or (code and tokens > -BURST):
            tokens -= 1
            self._kept += 1
            if sums.secret:
                message = ""
            sizes = call.request_bytes, response_bytes
            began = time.time() - duration
            self.samples.append(CallRecord(self._kept, began, sums, duration, code, message, *sizes, call.stream))
        self._tokens = tokens

    def _adjust(self, now: float) -> None:
        """Decide how many calls of each method are timed, by how many there were of late.

        The calls between two that are timed are a random number, so that the sample is none of those calls that come
        at regular intervals.
        """
        elapsed = max(now - self._adjusted, PERIOD)
        ended = self.ended
        every = ceil((ended - self._ended_before) / elapsed / TIMED_PER_SECOND)
        for sums in self.methods.values():
            busy = sums.calls - sums.calls_before > RARE * elapsed
            sums.every = every if busy and not self._timing_all else 1
            sums.untimed = min(sums.untimed, 2 * sums.every - 2)
            sums.calls_before = sums.calls
        self._adjusted, self._ended_before = now, ended
        self.adjust_at = now + PERIOD


def _without_secrets(path: str) -> str:
    """A path without its query, which may hold a message, and without the reference of a lent object."""
    path = path.partition("?")[0]
    if path.startswith(PREFIX):
        path = "/" + path[len(PREFIX) :].partition("/")[2]
    return path[:MAX_METHOD_NAME]
