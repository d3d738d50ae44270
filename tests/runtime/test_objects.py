"""Instances of a plugin, and objects that host and plugins lend each other, in one process."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cloud.v1.cloud_connect import (
    FileClient,
    FileService,
    ProgressClient,
    ProgressService,
    StorageClient,
    StorageService,
)
from cloud.v1.cloud_pb2 import (
    OpenRequest,
    OpenResponse,
    ReadRequest,
    ReadResponse,
    ReportRequest,
    ReportResponse,
    UploadRequest,
    UploadResponse,
)
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, WatchRequest, WatchResponse

from plugmux import ConfigError, Launch, PluginCause, PluginError, Runtime
from plugmux.connect import Code, Context, Interceptor, RpcError, UnaryNext
from plugmux.errors import StateError
from plugmux.link.link import Link
from plugmux.link.remote import RemoteObject
from plugmux.plugin import Configured, Instances
from plugmux.runtime import BadConfiguration
from support.cloud import cloud_command

NOT_KNOWN = "the reference is not known on this link: it has been released, or is of another link"


@dataclass
class Settings:
    region: str = ""
    quota: int = 10


class Region(StorageService):
    """Answers with its region; lends files, and remembers which of them have been given back."""

    given_back: list[str]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.given_back = []

    async def upload(self, request: UploadRequest, context: Context) -> UploadResponse:
        if request.progress:
            progress = Link.of(context).borrow(request.progress).client(ProgressClient)
            await progress.report(ReportRequest(percent=100))
        return UploadResponse(address=f"{self.settings.region}/{request.name}")

    async def open(self, request: OpenRequest, context: Context) -> OpenResponse:
        async def back() -> None:
            self.given_back.append(request.name)

        return OpenResponse(file=Link.of(context).lend(File(request.name), on_release=back).reference)


class File(FileService):
    def __init__(self, name: str) -> None:
        self.name = name

    async def read(self, request: ReadRequest, context: Context) -> ReadResponse:
        return ReadResponse(content=self.name.encode())


class Progress(ProgressService):
    def __init__(self) -> None:
        self.reports: list[int] = []
        self.held: asyncio.Event | None = None

    async def report(self, request: ReportRequest, context: Context) -> ReportResponse:
        self.reports.append(request.percent)
        if self.held is not None:
            await self.held.wait()
        return ReportResponse()


@asynccontextmanager
async def regions(*more: Any, **options: Any) -> AsyncIterator[Runtime]:
    """A runtime with the plugin `cloud`, whose instances are regions."""
    async with Runtime(more, **options) as runtime:
        await runtime.launch(Instances(Region, Settings), name="cloud")
        yield runtime


async def address(region: RemoteObject) -> str:
    return (await region.client(StorageClient).upload(UploadRequest(name="a"))).address


# -- instances --------------------------------------------------------------------------------------------------------


async def test_instances_are_apart_and_end_one_by_one() -> None:
    async with regions() as runtime:
        eu = await runtime.open_instance("cloud", {"region": "eu"})
        us = await runtime.open_instance("cloud", Settings("us"))
        assert [await address(eu), await address(us)] == ["eu/a", "us/a"]
        await eu.release()
        await eu.release()
        with pytest.raises(RpcError, match=NOT_KNOWN) as caught:
            await address(eu)
        assert caught.value.code is Code.NOT_FOUND
        assert await address(us) == "us/a"


async def test_what_instances_serve_is_announced_and_served_nowhere_else() -> None:
    async with regions() as runtime:
        registration = runtime.plugin("cloud").registration
        assert registration is not None
        assert registration.instances is not None
        assert registration.instances.services == ("cloud.v1.StorageService",)
        assert registration.services == ()
        link = runtime.plugin("cloud").link
        assert link is not None
        with pytest.raises(RpcError) as caught:
            await link.client(StorageClient).upload(UploadRequest(name="a"))
        assert caught.value.code is Code.UNIMPLEMENTED


BAD: list[tuple[dict[str, Any], str]] = [
    ({"region": 1}, "of an instance of plugin 'cloud' is bad at /region: it must be of the type string"),
    ({"regoin": "eu"}, "of an instance of plugin 'cloud' is bad at /regoin: the key is not known"),
]


@pytest.mark.parametrize(("configuration", "told"), BAD)
async def test_a_configuration_is_checked_before_the_plugin_is_asked(configuration: dict[str, Any], told: str) -> None:
    async with regions() as runtime:
        with pytest.raises(BadConfiguration, match=told):
            await runtime.open_instance("cloud", configuration)


async def test_a_configuration_that_is_no_json_object_is_refused() -> None:
    async with regions() as runtime:
        with pytest.raises(ConfigError, match="must be a JSON object, a dataclass' or a message"):
            await runtime.open_instance("cloud", [1])  # type: ignore[arg-type]  # no object of JSON


async def test_an_instance_is_configured_by_a_message() -> None:
    async def open(request: UploadRequest) -> Region:
        return Region(Settings(request.name))

    async with Runtime() as runtime:
        await runtime.launch(Instances(open, UploadRequest, serves=[StorageService]), name="cloud")
        async with await runtime.open_instance("cloud", UploadRequest(name="eu")) as eu:
            assert await address(eu) == "eu/a"
        with pytest.raises(BadConfiguration, match="/nmae"):
            await runtime.open_instance("cloud", {"nmae": "eu"})


@pytest.mark.parametrize(
    ("raised", "error", "told"),
    [
        (ValueError("no such region"), BadConfiguration, "plugin 'cloud' opened no instance: no such region"),
        (ConfigError("no such region"), BadConfiguration, "plugin 'cloud' opened no instance: no such region"),
        (RpcError(Code.PERMISSION_DENIED, "not yours"), RpcError, "permission_denied: not yours"),
        (OSError("secret"), RpcError, "internal: the handler failed; the server's log says why"),
    ],
)
@pytest.mark.parametrize("when", ["made", "entered"])
async def test_an_instance_that_does_not_open_leaves_nothing(
    raised: Exception, error: type[Exception], told: str, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    left: list[str] = []

    @asynccontextmanager
    async def enter(settings: Settings) -> AsyncIterator[Region]:
        try:
            raise raised
        finally:
            left.append("cleaned")
        yield Region(settings)

    def make(settings: Settings) -> Region:
        raise raised

    opener: Any = enter if when == "entered" else make
    async with Runtime() as runtime:
        await runtime.launch(Instances(opener, Settings, serves=[StorageService], limit=1), name="cloud")
        for _ in range(2):
            with pytest.raises(error) as caught:
                await runtime.open_instance("cloud", {})
            assert str(caught.value) == told
        assert left == ["cleaned", "cleaned"] * (when == "entered")


async def test_more_instances_than_the_limit_are_refused_until_one_is_released() -> None:
    async with Runtime() as runtime:
        await runtime.launch(Instances(Region, Settings, limit=2), name="cloud")
        first = await runtime.open_instance("cloud", {})
        await runtime.open_instance("cloud", {})
        with pytest.raises(RpcError, match=r"2 instances are open.*Instances\(limit=...\)") as caught:
            await runtime.open_instance("cloud", {})
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        await first.release()
        await runtime.open_instance("cloud", {})


@pytest.mark.parametrize("ending", ["released", "the link ends"])
async def test_an_instance_is_entered_and_left_in_one_task(ending: str) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    @asynccontextmanager
    async def open(settings: Settings) -> AsyncIterator[Sequence[Region]]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup():
            yield [Region(settings)]
        tasks.append(asyncio.current_task())

    async with Runtime() as runtime:
        await runtime.launch(Instances(open, Settings, serves=[StorageService]), name="cloud")
        region = await runtime.open_instance("cloud", {"region": "eu"})
        assert await address(region) == "eu/a"
        if ending == "released":
            await region.release()
            assert len(tasks) == 2
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_what_the_end_of_an_instance_raises_is_told_to_who_releases_it_and_logged_at_the_end_of_the_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @asynccontextmanager
    async def open(settings: Settings) -> AsyncIterator[Region]:
        yield Region(settings)
        raise OSError("the disk is full")

    async with Runtime() as runtime:
        await runtime.launch(Instances(open, Settings, serves=[StorageService]), name="cloud")
        region = await runtime.open_instance("cloud", {})
        await runtime.open_instance("cloud", {})
        with pytest.raises(RpcError) as caught:
            await region.release()
        assert caught.value.code is Code.INTERNAL
        await region.release()
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == [
        "plugmux.connect",
        "plugmux.references",
    ]


async def test_a_plugin_that_gives_no_instances_is_named() -> None:
    async with Runtime() as runtime:
        await runtime.launch(Progress(), name="other")
        with pytest.raises(PluginError, match=r"'other'.*it gives no instances") as caught:
            await runtime.open_instance("other", {})
        assert caught.value.cause is PluginCause.UNSUPPORTED
        with pytest.raises(PluginError, match="'nobody'") as caught:
            await runtime.open_instance("nobody", {})
        assert caught.value.cause is PluginCause.UNKNOWN


def test_what_instances_serve_must_be_told() -> None:
    with pytest.raises(ConfigError, match="the services of the instances"):
        Instances(lambda settings: Region(settings), Configured(Settings))


# -- objects of the host's --------------------------------------------------------------------------------------------


async def test_a_plugin_calls_an_object_of_the_hosts_until_it_is_withdrawn() -> None:
    progress = Progress()
    async with regions() as runtime, await runtime.open_instance("cloud", {}) as region:
        storage = region.client(StorageClient)
        async with runtime.lend(progress, to="cloud") as reference:
            await storage.upload(UploadRequest(name="a", progress=reference))
        with pytest.raises(RpcError, match=NOT_KNOWN):
            await storage.upload(UploadRequest(name="a", progress=reference))
        assert progress.reports == [100]


async def test_references_are_never_the_same_and_do_not_show() -> None:
    async with regions() as runtime:
        loans = [runtime.lend(Progress(), to="cloud") for _ in range(100)]
        assert len({loan.reference for loan in loans}) == 100
        assert all(len(loan.reference) == 32 for loan in loans)
        assert loans[0].reference not in repr(loans[0])
        assert loans[0].reference not in repr(runtime.borrow(loans[0].reference, of="cloud"))


async def test_a_reference_is_good_on_its_own_link_only() -> None:
    progress = Progress()
    async with regions() as runtime:
        await runtime.launch(Instances(Region, Settings), name="rival")
        rival = await runtime.open_instance("rival", {})
        async with runtime.lend(progress, to="cloud") as reference:
            with pytest.raises(RpcError, match=NOT_KNOWN):
                await rival.client(StorageClient).upload(UploadRequest(progress=reference))
    assert progress.reports == []


async def test_a_call_that_is_under_way_when_its_object_is_withdrawn_goes_on_to_its_end() -> None:
    progress = Progress()
    progress.held = asyncio.Event()
    async with regions() as runtime, await runtime.open_instance("cloud", {"region": "eu"}) as region:
        loan = runtime.lend(progress, to="cloud")
        call = asyncio.create_task(
            region.client(StorageClient).upload(UploadRequest(name="a", progress=loan.reference))
        )
        while not progress.reports:
            await asyncio.sleep(0)
        await loan.withdraw()
        progress.held.set()
        assert (await call).address == "eu/a"


async def test_interceptors_run_around_calls_of_lent_objects() -> None:
    seen: list[str] = []

    class Seen(Interceptor):
        async def unary(self, request: Any, context: Context, call_next: UnaryNext) -> Any:
            seen.append(context.method.path)
            return await call_next(request, context)

    async with regions(interceptors=[Seen()]) as runtime, await runtime.open_instance("cloud", {}) as region:
        seen.clear()
        async with runtime.lend(Progress(), to="cloud") as reference:
            await region.client(StorageClient).upload(UploadRequest(progress=reference))
    assert seen == ["/cloud.v1.ProgressService/Report"]


async def test_only_what_can_be_served_is_lent_and_only_to_a_plugin_that_runs() -> None:
    async with regions() as runtime, await runtime.open_instance("cloud", {}) as region:
        with pytest.raises(ConfigError, match="cannot be served"):
            runtime.lend("a string", to="cloud")  # type: ignore[arg-type]  # no object that serves
        with pytest.raises(ConfigError, match="is lent on alone"):
            runtime.lend(region, Progress(), to="cloud")
        with pytest.raises(PluginError, match="'nobody'"):
            runtime.lend(Progress(), to="nobody")
        with pytest.raises(PluginError, match="'nobody'"):
            runtime.borrow("", of="nobody")


async def test_an_object_is_lent_to_all_replicas_and_borrowed_from_the_one_that_is_known() -> None:
    progress = Progress()
    async with Runtime([Launch(cloud_command("python"), name="cloud", replicas=2)]) as runtime:
        opened = [await runtime.open_instance("cloud", {"region": f"r{n}"}) for n in range(4)]
        async with runtime.lend(progress, to="cloud") as reference:
            for region in opened:
                await region.client(StorageClient).upload(UploadRequest(name="a", progress=reference))
        assert progress.reports == [0, 50, 100] * 4
        for region in opened:
            file = await region.client(StorageClient).open(OpenRequest(name="a"))
            await region.borrow(file.file).client(FileClient).read(ReadRequest())
        with pytest.raises(PluginError, match="a reference is one replica's own, and it has several") as caught:
            runtime.borrow(file.file, of="cloud")
        assert caught.value.cause is PluginCause.UNSUPPORTED


# -- objects of a plugin's --------------------------------------------------------------------------------------------


async def test_the_host_calls_an_object_of_a_plugins_and_gives_it_back() -> None:
    made: list[Region] = []

    def make(settings: Settings) -> Region:
        made.append(Region(settings))
        return made[-1]

    async with Runtime() as runtime:
        await runtime.launch(Instances(make, Settings, serves=[StorageService]), name="cloud")
        async with await runtime.open_instance("cloud", {}) as region:
            file = region.borrow((await region.client(StorageClient).open(OpenRequest(name="a"))).file)
            async with file:
                assert (await file.client(FileClient).read(ReadRequest())).content == b"a"
            assert made[0].given_back == ["a"]
            with pytest.raises(RpcError, match=NOT_KNOWN):
                await file.client(FileClient).read(ReadRequest())
            opened = await region.client(StorageClient).open(OpenRequest(name="b"))
            assert (
                await runtime.borrow(opened.file, of="cloud").client(FileClient).read(ReadRequest())
            ).content == b"b"
        assert made[0].given_back == ["a"], "a file is not its region's, and lives on"
    assert made[0].given_back == ["a", "b"], "nothing outlives the link"


class Watched(KeyValueService):
    async def watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
        for letter in request.key:
            yield WatchResponse(value=letter.encode())


async def test_an_object_of_one_plugins_is_lent_to_another_streams_and_all() -> None:
    class Borrower(KeyValueService):
        """Reads the object that the key refers to."""

        async def watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
            async with (
                Link.of(context).borrow(request.key).client(KeyValueClient).watch(WatchRequest(key="abc")) as values
            ):
                async for value in values:
                    yield value

    async with Runtime() as runtime:
        await runtime.launch(Instances(lambda _: Watched(), Settings, serves=[KeyValueService]), name="owner")
        await runtime.launch(Borrower(), name="borrower")
        owned = await runtime.open_instance("owner", {})
        client = runtime.client(KeyValueClient, plugin="borrower")
        loan = runtime.lend(owned, to="borrower")
        async with client.watch(WatchRequest(key=loan.reference)) as values:
            assert [value.value async for value in values] == [b"a", b"b", b"c"]
        await loan.withdraw()
        with pytest.raises(RpcError, match=NOT_KNOWN) as caught:
            async with client.watch(WatchRequest(key=loan.reference)) as values:
                await anext(aiter(values))
        assert caught.value.code is Code.NOT_FOUND


async def test_a_reference_that_nobody_gave_is_not_found_whatever_it_looks_like() -> None:
    async with regions() as runtime:
        for reference in ("", "0" * 32, "../..", "a/b", "%2e%2e", "x" * 1000):
            unknown = runtime.borrow(reference, of="cloud")
            with pytest.raises(RpcError) as caught:
                await unknown.client(KeyValueClient).get(GetRequest())
            assert (caught.value.code, caught.value.message) == (Code.NOT_FOUND, NOT_KNOWN)
            await unknown.release()


async def test_nothing_is_lent_on_a_link_that_has_ended_nor_by_a_call_without_one() -> None:
    async with regions() as runtime:
        link = runtime.plugin("cloud").link
        assert link is not None
    with pytest.raises(Exception, match="has ended: nothing can be lent on it"):
        link.lend(Progress())
    with pytest.raises(StateError, match="has not arrived over a link"):
        Link.of(Context())


async def test_an_object_of_the_process_takes_little_memory_while_it_is_idle() -> None:
    """Neither end of its link has a read buffer of its own."""
    count = 20
    async with Runtime() as runtime:
        await runtime.launch(Watched(), name="first")
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for number in range(count):
                await runtime.launch(Watched(), name=f"watched{number}")
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (after - before) / count < 60 * 1024
