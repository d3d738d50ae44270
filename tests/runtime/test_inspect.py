"""What the runtime shows to those who watch: counts, times, a sample of calls, links, processes."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordRequest, RecordResponse, WatchRequest
from plugmux_proto.plugmux.v1 import inspect_pb2 as pb
from plugmux_proto.plugmux.v1.inspect_connect import InspectClient

from plugmux import Code, Permissions, RpcError, Runtime
from plugmux.connect import Context
from plugmux.connect.envelope import END_STREAM, envelope
from plugmux.exchange import Request, Response
from plugmux.http import SocketClient
from plugmux.runtime.inspect.call import ObservedCall
from plugmux.runtime.inspect.latency import BUCKETS, Latencies, lower_bound, quantile
from plugmux.runtime.inspect.observer import MAX_METHODS, OTHER, CallObserver
from plugmux.runtime.inspect.outcome import StreamScanner, outcome_of
from plugmux.runtime.inspect.resources import ProcessResources
from support.programs import kv_program

FAST = pb.WatchRequest(max_calls=500)
FAST.interval.FromMilliseconds(100)


class Audit(AuditService):
    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        return RecordResponse()


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with Runtime(
        [kv_program(tmp_path)], services=[Audit()], listen=[f"unix:{tmp_path}/private/runtime.sock"]
    ) as runtime:
        yield runtime


def client(runtime: Runtime) -> InspectClient:
    return InspectClient(SocketClient(runtime.addresses[0]))


class Watcher:
    """Reads reports until something holds of all that they have said."""

    def __init__(self, reports: AsyncIterator[pb.WatchResponse]) -> None:
        self._reports = reports
        self.methods: dict[tuple[str, str, str], pb.MethodCalls] = {}
        self.calls: list[pb.CallRecord] = []
        self.last = pb.WatchResponse()

    async def until(self, holds: Callable[[Watcher], bool]) -> None:
        while not holds(self):
            self.last = await anext(self._reports)
            self.methods.update({(each.caller, each.callee, each.method): each for each in self.last.methods})
            self.calls += self.last.calls


async def test_calls_are_counted_by_method_while_somebody_watches(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueClient)
    await kv.put(PutRequest(key="before", value=b"nobody watches"))
    async with client(runtime).watch(FAST) as reports:
        watcher = Watcher(reports)
        await watcher.until(lambda seen: bool(seen.last.plugins))
        assert watcher.methods == {}
        await kv.put(PutRequest(key="a", value=b"xyz"))
        with pytest.raises(RpcError):
            await kv.get(GetRequest(key="missing"))
        assert len([value async for value in kv.watch(WatchRequest(key="a"))]) == 3
        await watcher.until(lambda seen: len(seen.calls) == 3)
    put = watcher.methods["", "kv", "kv.v1.KeyValueService/Put"]
    assert (put.calls, put.errors, put.request_bytes, put.in_flight) == (1, 0, 8, 0)
    assert sum(put.latency) == 1
    get = watcher.methods["", "kv", "kv.v1.KeyValueService/Get"]
    assert (get.calls, get.errors, dict(get.codes)) == (1, 1, {"not_found": 1})
    ended = [(call.method.rpartition("/")[2], call.code, call.message, call.stream) for call in watcher.calls]
    assert ended == [("Put", "", "", False), ("Get", "not_found", "no key 'missing'", False), ("Watch", "", "", True)]
    (plugin,) = watcher.last.plugins
    assert (plugin.name, plugin.state, plugin.health, plugin.calls) == ("kv", "running", "serving", 4)


async def test_what_a_plugin_calls_of_the_host_is_counted_with_its_name(runtime: Runtime) -> None:
    async with client(runtime).watch(FAST) as reports:
        watcher = Watcher(reports)
        await watcher.until(lambda seen: bool(seen.last.plugins))
        with pytest.raises(RpcError):
            await runtime.client(KeyValueClient).get(GetRequest(key="call the host"))
        await watcher.until(lambda seen: len(seen.calls) == 2)
    record = watcher.methods["kv", "", "kv.v1.AuditService/Record"]
    assert (record.calls, record.errors) == (1, 0)
    assert record.request_bytes > 0


async def test_nobody_counts_when_the_last_watcher_has_gone(runtime: Runtime) -> None:
    observer = runtime.transport.registry.call_observer
    assert observer is None
    link = runtime.plugin("kv").link
    assert link is not None
    own_app = link.app
    async with client(runtime).watch(FAST) as reports:
        await anext(reports)
        assert runtime.transport.registry.call_observer is not None
        assert link.app is not own_app
    while runtime.transport.registry.call_observer is not None:
        await asyncio.sleep(0)
    assert link.app is own_app


async def test_a_call_under_way_and_one_without_a_plugin_are_told(runtime: Runtime) -> None:
    async with client(runtime).watch(FAST) as reports:
        watcher = Watcher(reports)
        await watcher.until(lambda seen: bool(seen.last.plugins))
        hanging = asyncio.create_task(runtime.client(KeyValueClient).get(GetRequest(key="hang")))
        key = "", "kv", "kv.v1.KeyValueService/Get"
        await watcher.until(lambda seen: key in seen.methods and seen.methods[key].in_flight == 1)
        hanging.cancel()
        await watcher.until(lambda seen: seen.methods[key].in_flight == 0)
        assert watcher.methods[key].codes == {"canceled": 1}
        with suppress(Exception):
            await runtime.transport.fetch(Request("/no.such.Service/Method"), 1000)
        await watcher.until(lambda seen: ("", "", "no.such.Service/Method") in seen.methods)


async def test_a_links_streams_are_shown_with_their_windows(runtime: Runtime) -> None:
    hanging = asyncio.create_task(runtime.client(KeyValueClient).get(GetRequest(key="hang")))
    found: list[pb.LinkStream] = []
    while not found:
        link = await client(runtime).get_link(pb.GetLinkRequest(plugin="kv"))
        mine = [stream for stream in link.streams if not stream.opened_by_plugin]
        found = [stream for stream in mine if stream.send_window < 256 * 1024]
    assert found[0].id % 2 == 0
    assert found[0].receive_window == found[0].window == 256 * 1024
    assert link.open == len(link.streams)
    assert link.round_trip_us > 0
    hanging.cancel()
    with pytest.raises(RpcError, match="no plugin of that name") as unknown:
        await client(runtime).get_link(pb.GetLinkRequest(plugin="none"))
    assert unknown.value.code is Code.NOT_FOUND
    with pytest.raises(RpcError, match="replicas"):
        await client(runtime).get_link(pb.GetLinkRequest(plugin="kv", replica=7))


async def test_a_plugin_is_replaced_by_a_process_of_its_own_command(runtime: Runtime) -> None:
    before = runtime.plugin("kv").pid
    await client(runtime).replace_plugin(pb.ReplacePluginRequest(name="kv"))
    assert runtime.plugin("kv").ready
    assert runtime.plugin("kv").pid != before
    with pytest.raises(RpcError) as unknown:
        await client(runtime).replace_plugin(pb.ReplacePluginRequest(name="none"))
    assert unknown.value.code is Code.NOT_FOUND


async def test_a_host_can_close_its_sockets_to_watchers(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/private/runtime.sock"
    async with Runtime(listen=[address], permissions=Permissions(socket=["calls"])) as runtime:
        for call in (
            anext(client(runtime).watch(FAST).__aiter__()),
            client(runtime).get_link(pb.GetLinkRequest(plugin="kv")),
            client(runtime).replace_plugin(pb.ReplacePluginRequest(name="kv")),
        ):
            with pytest.raises(RpcError) as closed:
                await call
            assert closed.value.code is Code.PERMISSION_DENIED


async def test_a_watch_ends_in_order_when_the_runtime_closes(tmp_path: Path) -> None:
    request = pb.WatchRequest()
    request.interval.FromSeconds(60)
    async with Runtime(listen=[f"unix:{tmp_path}/private/runtime.sock"]) as runtime:
        reports = client(runtime).watch(request).__aiter__()
        await anext(reports)
    assert [report async for report in reports] == []


class Plugins:
    """Who carries calls, and the links on which plugins call: none."""

    call_observer: CallObserver | None = None
    links: tuple[()] = ()

    def __init__(self) -> None:
        self.on_link: set[Callable[..., None]] = set()


def observer() -> CallObserver:
    return CallObserver(Plugins(), Plugins(), lambda: 0.0)


def begin(counted: CallObserver, path: str) -> ObservedCall:
    """A call of the host that has been sent to the plugin `kv`."""
    call = counted.begin("", path, b"abc")
    call.sent_to("kv")
    return call


class Ticking:
    """A clock that stands still until it is told to go on, and how often it was read."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


def call(
    counted: CallObserver, clock: Ticking, seconds: float = 0.0001, *, method: str = "Get", code: str = ""
) -> None:
    """One call that takes so long."""
    made = begin(counted, f"/kv.v1.KeyValueService/{method}")
    clock.now += seconds
    body = json.dumps({"code": code, "message": "why"}).encode() if code else b"12345"
    made.answered(Response(500 if code else 200, (), body))


def busy() -> tuple[CallObserver, Ticking]:
    """An observer that has seen a second of 10,000 calls, so that it times one in twenty."""
    clock = Ticking()
    counted = CallObserver(Plugins(), Plugins(), clock, random.Random(7).random)
    for _ in range(10_001):
        call(counted, clock)
    return counted, clock


def test_of_a_busy_method_every_call_is_counted_and_a_random_sample_is_timed() -> None:
    counted, clock = busy()
    (sums,) = counted.methods.values()
    calls, timed = sums.calls, sum(sums.latencies)
    for number in range(9000):  # every other one is slow: a sample at regular intervals might miss them all
        call(counted, clock, 0.00005 if number % 2 else 0.0001)
    assert (sums.calls - calls, sums.in_flight, sums.errors) == (9000, 0, 0)
    assert (sums.request_bytes, sums.response_bytes) == (3 * sums.calls, 5 * sums.calls)
    assert counted.ended == sums.calls
    assert 350 < sum(sums.latencies) - timed < 650
    slow = sums.latencies[Latencies.bucket(100)] - timed
    assert 150 < slow < 350
    assert 0 < sums.seconds < 0.0001 * (sum(sums.latencies) + 1)


def test_of_a_busy_method_every_error_is_counted_and_kept() -> None:
    counted, clock = busy()
    (sums,) = counted.methods.values()
    kept = len(counted.samples)
    for number in range(1000):
        call(counted, clock, 0.25 if number % 100 == 50 else 0.0001, code="internal" if number % 100 == 50 else "")
    failed = [record for record in list(counted.samples)[kept:] if record.code]
    assert (sums.errors, sums.codes) == (10, {"internal": 10})
    assert [(record.message, round(record.duration, 6)) for record in failed] == [("why", 0.25)] * 10


def test_a_call_that_is_neither_timed_nor_failed_reads_the_clock_once() -> None:
    counted, clock = busy()
    (sums,) = counted.methods.values()
    sums.untimed = 5
    before = clock.reads
    for _ in range(5):
        call(counted, clock)
    assert clock.reads - before == 5
    call(counted, clock)
    assert clock.reads - before == 7


def test_a_rare_method_and_a_quiet_runtime_time_every_call() -> None:
    counted, clock = busy()
    (sums,) = counted.methods.values()
    for _ in range(10):
        call(counted, clock, method="Put")
    put = counted.methods["", "kv", "/kv.v1.KeyValueService/Put"]
    assert (put.calls, sum(put.latencies)) == (10, 10)
    sums.untimed = 5
    clock.now += 10  # nobody calls for a while
    timed = sum(sums.latencies)
    for _ in range(5):
        call(counted, clock)
    assert sum(sums.latencies) - timed == 5


def test_who_wants_every_call_timed_gets_that_however_many_there_are() -> None:
    counted, clock = busy()
    (sums,) = counted.methods.values()
    with counted.watch(time_all=True), counted.watch():
        before, timed = sums.calls, sum(sums.latencies)
        for _ in range(30_000):
            call(counted, clock)
        assert sum(sums.latencies) - timed == sums.calls - before == 30_000
    for _ in range(30_000):
        call(counted, clock)
    assert sum(sums.latencies) - timed < 50_000


def test_a_flood_of_methods_and_of_calls_takes_bounded_memory() -> None:
    counted = observer()
    for number in range(MAX_METHODS + 10):
        for _ in range(2):
            begin(counted, f"/a.B/M{number}").end(0, "internal", "x")
    assert len(counted.methods) == MAX_METHODS + 1
    assert sum(sums.calls for sums in counted.methods.values()) == counted.ended == 2 * (MAX_METHODS + 10)
    assert len(counted.samples) <= 500
    assert len(counted.samples_since(0, 10)) == 10


def test_neither_references_nor_queries_nor_errors_of_secrets_are_kept() -> None:
    counted = observer()
    for path in ("/reference/SECRET/kv.v1.KeyValueService/Get", "/kv.v1.KeyValueService/Get?message=SECRET"):
        begin(counted, path).end(0, "", "")
    begin(counted, "/resolver.v1.ResolverService/GetSecrets").end(0, "internal", "SECRET")
    assert "SECRET" not in repr((counted.methods, counted.samples))
    assert [sums.calls for sums in counted.methods.values()] == [2, 1]


def test_a_flood_of_methods_does_not_make_the_errors_of_secrets_be_kept() -> None:
    counted = observer()
    for number in range(MAX_METHODS):
        begin(counted, f"/a.B/M{number}").end(0, "", "")
    begin(counted, "/resolver.v1.ResolverService/GetSecrets").end(0, "internal", "SECRET")
    last = counted.samples[-1]
    assert (last.of.method, last.code, last.message) == (OTHER, "internal", "")


def test_the_text_of_an_error_is_not_in_the_repr_of_a_call() -> None:
    counted = observer()
    begin(counted, "/a.B/C").end(0, "internal", "a text of the plugin")
    assert counted.samples[-1].message == "a text of the plugin"
    assert "a text" not in repr(counted.samples[-1])


def test_failed_calls_are_preferred_in_a_sample() -> None:
    counted = observer()
    for number in range(20):
        begin(counted, "/a.B/C").end(0, "" if number else "internal", "")
    assert [record.number for record in counted.samples_since(0, 3)] == [1, 19, 20]


@given(st.lists(st.integers(min_value=0, max_value=1 << 27), min_size=1))
def test_a_quantile_is_true_to_a_quarter_of_a_power_of_two(times: list[int]) -> None:
    counts = Latencies()
    for microseconds in times:
        counts.add(microseconds)
    assert sum(counts) == len(times)
    longest = quantile(counts.shortened(), 1.0)
    assert longest is not None
    if max(times) < 1 << 26:
        assert max(times) / 1e6 < longest <= max(1.26 * max(times), 1) / 1e6


def test_the_bounds_of_buckets_ascend() -> None:
    bounds = [lower_bound(bucket) for bucket in range(BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert quantile([], 0.5) is None


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_the_end_of_a_stream_is_read_in_whatever_pieces_it_comes(step: int) -> None:
    body = envelope(b"x" * 40) + envelope(b"") + envelope(b'{"error":{"code":"aborted","message":"no"}}', END_STREAM)
    scanner = StreamScanner(200, stream=True)
    assert scanner.outcome[0] == "unavailable"
    for start in range(0, len(body), step):
        scanner.feed(body[start : start + step])
    assert scanner.outcome == ("aborted", "no")
    assert (scanner.size, scanner.messages, scanner.complete) == (len(body), 2, True)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"whatever", ("", "")),
        (404, b'{"code":"not_found","message":"none"}', ("not_found", "none")),
        (503, b"plain text", ("unavailable", "plain text")),
        (500, b"\xff", ("unknown", "\ufffd")),
        (500, b"[" * 1000, ("unknown", "[" * 500 + "…")),
    ],
)
def test_an_outcome_is_read_from_any_response(status: int, body: bytes, outcome: tuple[str, str]) -> None:
    assert outcome_of(status, body) == outcome


def test_what_a_process_uses_is_read_once_a_second() -> None:
    now = [0.0]
    resources = ProcessResources(lambda: now[0])
    own = resources.of(os.getpid())
    assert own is not None
    assert own.memory_bytes > 1_000_000
    assert own.threads >= 1
    assert resources.of(os.getpid()) is own
    now[0] = 10.0
    assert resources.of(os.getpid()) is not own
    assert resources.of(1 << 22) is None
