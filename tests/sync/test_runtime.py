"""The runtime without asyncio, with real plugin processes."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cloud.v1.cloud_connect import FileSyncClient, ProgressService, StorageClient, StorageSyncClient
from cloud.v1.cloud_pb2 import CopyRequest, OpenRequest, ReadRequest, ReportRequest, ReportResponse, UploadRequest
from kv.v1.kv_connect import AuditClient, AuditService, KeyValueClient, KeyValueSyncClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, RecordRequest, RecordResponse, WatchRequest

import plugmux
from plugmux.connect import Code, Context, RpcError
from plugmux.errors import ConfigError, StateError
from plugmux.secrets import SecretNotFound
from plugmux.sync import Launch, PluginError, Resolver, RestartPolicy, Runtime, State
from support.cloud import cloud_command
from support.programs import kv_program
from support.tools import ROOT


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with Runtime([Launch([kv_program(tmp_path)], restart=RestartPolicy(delay=0.01))]) as runtime:
        yield runtime


def test_a_client_calls_and_waits(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueSyncClient)
    kv.put(PutRequest(key="a", value=b"1"))
    assert kv.get(GetRequest(key="a"), timeout=60).value == b"1"
    with pytest.raises(RpcError) as caught:
        kv.get(GetRequest(key="absent"))
    assert caught.value.code is Code.NOT_FOUND


def test_the_asynchronous_class_gives_the_same_client(runtime: Runtime) -> None:
    assert isinstance(runtime.client(KeyValueClient, plugin="kv"), KeyValueSyncClient)


def test_a_stream_is_an_iterator_that_may_be_left_early(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueSyncClient)
    assert [reply.value for reply in kv.watch(WatchRequest(key="a"))] == [b"0", b"1", b"2"]
    stream = kv.watch(WatchRequest(key="a"))
    assert next(stream).value == b"0"
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert runtime.plugin("kv").in_flight == 0


class Progress(ProgressService):
    def __init__(self) -> None:
        self.reports: list[int] = []

    def report(self, request: ReportRequest, context: Context) -> ReportResponse:
        self.reports.append(request.percent)
        return ReportResponse()


def test_instances_and_callbacks() -> None:
    progress = Progress()
    with (
        Runtime([Launch(cloud_command("python"), name="cloud")]) as runtime,
        runtime.open_instance("cloud", {"region": "eu"}) as eu,
        runtime.open_instance("cloud", {"region": "us"}, timeout=30) as us,
    ):
        storage = eu.client(StorageSyncClient)
        with runtime.lend(progress, to="cloud") as reference:
            storage.upload(UploadRequest(name="a", content=b"text", progress=reference))
        assert progress.reports == [0, 50, 100]
        with runtime.lend(us, to="cloud") as reference:
            assert storage.copy(CopyRequest(name="a", to=reference)).address == "us/a"
        opened = us.client(StorageClient).open(OpenRequest(name="a"))
        with us.borrow(opened.file) as file:
            assert file.client(FileSyncClient).read(ReadRequest()).content == b"text"
        with pytest.raises(RpcError, match="not known on this link"):
            runtime.borrow(opened.file, of="cloud").client(FileSyncClient).read(ReadRequest())


def test_it_closes_while_the_requests_of_a_stream_block(tmp_path: Path) -> None:
    """In a process of its own, which must end as well: Python joins the threads of executors at its exit."""
    program = tmp_path / "host.py"
    program.write_text(textwrap.dedent(BLOCKED))
    stubs = os.pathsep.join([str(ROOT / "tests/connect/gen"), os.environ["PYTHONPATH"]])
    ran = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": stubs},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "deadline_exceeded\nclosed\n"), ran.stderr


BLOCKED = """
    import queue
    from echo.v1.echo_connect import EchoClient, EchoService
    from echo.v1.echo_pb2 import SumRequest, SumResponse
    from plugmux.sync import RpcError, Runtime

    class Sum(EchoService):
        async def sum(self, requests, context):
            return SumResponse(number=sum([request.number async for request in requests]))

    def requests():
        yield SumRequest(number=1)
        yield queue.Queue().get()

    with Runtime([Sum()]) as runtime:
        try:
            runtime.client(EchoClient).sum(requests(), timeout=0.2)
        except RpcError as error:
            print(error.code.value)
    print("closed")
"""


def test_several_threads_call_side_by_side(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueSyncClient)
    pid = str(runtime.plugin("kv").pid).encode()
    with ThreadPoolExecutor(8) as threads:
        replies = threads.map(lambda _: kv.get(GetRequest(key="pid")).value, range(100))
        assert set(replies) == {pid}


def test_a_plain_function_of_the_host_uses_the_runtime_that_calls_it(tmp_path: Path) -> None:
    class Audit(AuditService):
        def record(self, request: RecordRequest, context: Context) -> RecordResponse:
            seen.append((request.event, runtime.client(KeyValueSyncClient).get(GetRequest(key="pid")).value))
            return RecordResponse()

    seen: list[tuple[str, bytes]] = []
    with Runtime([kv_program(tmp_path)], services=[Audit()]) as runtime:
        with pytest.raises(RpcError, match="no key"):
            runtime.client(KeyValueSyncClient).get(GetRequest(key="call the host"))
        assert seen == [("get", str(runtime.plugin("kv").pid).encode())]


def test_events_are_iterated_until_the_runtime_closes(tmp_path: Path) -> None:
    with Runtime([kv_program(tmp_path)]) as runtime:
        events = runtime.events(present=True)
        assert next(events).state is State.RUNNING
        runtime.disable("kv")
        assert [next(events).state, next(events).state] == [State.STOPPING, State.DISABLED]
        runtime.enable("kv")
        assert [next(events).state for _ in range(3)] == [State.STARTING, State.REGISTERING, State.RUNNING]
        with ThreadPoolExecutor(1) as threads:
            rest = threads.submit(lambda: {event.state for event in events})
            runtime.close()
            assert rest.result() <= {State.STOPPING, State.STOPPED}


def test_the_plugins_are_seen_started_and_replaced(runtime: Runtime, tmp_path: Path) -> None:
    before = runtime.plugin("kv").pid
    runtime.restart("kv")
    between = runtime.plugin("kv").pid
    runtime.replace("kv")
    assert len({before, between, runtime.plugin("kv").pid}) == 3
    runtime.launch(kv_program(tmp_path, "second"))
    assert [plugin.name for plugin in runtime.plugins()] == ["kv", "second"]
    with pytest.raises(PluginError):
        runtime.launch(str(tmp_path / "absent"))


def test_a_resolver_waits_too() -> None:
    plugin = [sys.executable, str(ROOT / "examples/python-plugin/python-plugin")]
    with Runtime([Launch(plugin, timeout=20)]) as runtime:
        resolver = Resolver(runtime)
        assert resolver.get("python/greeting").value == b"hello from Python"
        assert [secret.id for secret in resolver.get_all("python/*")] == ["python/greeting"]
        assert resolver.explain("python/*").outages == {}
        with pytest.raises(SecretNotFound):
            resolver.get("python/absent")


def test_an_interrupt_cancels_the_call_and_passes_through(runtime: Runtime) -> None:
    plugin = runtime.plugin("kv")

    def interrupt() -> None:
        while not plugin.in_flight:
            pass
        signal.pthread_kill(main.ident or 0, signal.SIGINT)

    main = threading.main_thread()
    other = threading.Thread(target=interrupt)
    other.start()
    with pytest.raises(KeyboardInterrupt):
        runtime.client(KeyValueSyncClient).get(GetRequest(key="hang"))
    other.join()
    assert plugin.in_flight == 0
    assert runtime.client(KeyValueSyncClient).get(GetRequest(key="pid")).value


def test_closing_ends_the_calls_of_other_threads(runtime: Runtime) -> None:
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(runtime.client(KeyValueSyncClient).get, GetRequest(key="hang"))
        while not runtime.plugin("kv").in_flight:
            pass
        runtime.close()
        with pytest.raises(RpcError) as caught:
            call.result()
    assert caught.value.code is Code.UNAVAILABLE


def test_closing_twice_and_closing_what_never_started_is_harmless(runtime: Runtime) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: runtime.close(), range(4)))
    runtime.close()
    assert runtime.plugins()[0].state is State.STOPPED
    Runtime().close()


def test_use_after_the_end_or_before_the_start_says_so(runtime: Runtime, tmp_path: Path) -> None:
    kv = runtime.client(KeyValueSyncClient)
    runtime.close()
    for use in (lambda: kv.get(GetRequest(key="a")), lambda: runtime.launch("kv"), lambda: next(runtime.events())):
        with pytest.raises(StateError, match="the runtime has been closed"):
            use()
    with pytest.raises(StateError, match="started before"):
        runtime.start()
    with pytest.raises(StateError, match="not been started"):
        Runtime().client(KeyValueSyncClient).get(GetRequest(key="a"))


def test_the_event_loop_itself_cannot_wait(runtime: Runtime) -> None:
    async def wait() -> None:
        runtime.client(KeyValueSyncClient).get(GetRequest(key="a"))

    with pytest.raises(StateError, match="its own event loop"):
        runtime.run(wait())


def test_a_fork_cannot_use_it(runtime: Runtime) -> None:
    kv = runtime.client(KeyValueSyncClient)
    read, write = os.pipe()
    if (child := os.fork()) == 0:  # pragma: no cover -- another process
        try:
            kv.get(GetRequest(key="a"))
        except StateError as error:
            os.write(write, str(error).encode())
        runtime.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert b"fork" in os.read(read, 1000)
    assert kv.get(GetRequest(key="pid")).value
    os.close(read)
    os.close(write)


def test_bad_input_is_refused_before_anything_is_started() -> None:
    with pytest.raises(ConfigError):
        Runtime([object()])  # type: ignore[list-item]  # no source
    with pytest.raises(ConfigError, match="named 'kv' already"), Runtime([Launch(["kv"]), Launch(["kv"])]):
        pass
    assert not [thread for thread in threading.enumerate() if thread.name == "the runtime"]


def test_it_has_every_method_of_the_asynchronous_runtime() -> None:
    def public(runtime: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(runtime) if not name.startswith("_")}

    assert public(plugmux.Runtime) <= public(Runtime)
    assert AuditClient.sync_class.client_class is AuditClient


def test_programs_with_asyncio_do_not_pay_for_it() -> None:
    program = "import sys, plugmux; plugmux.Runtime(); assert 'plugmux.sync' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
