"""Calls written to a file, and a plugin made of that file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from echo.v1.echo_connect import EchoClient, EchoService
from echo.v1.echo_pb2 import (
    ChatRequest,
    ChatResponse,
    CountRequest,
    CountResponse,
    SayRequest,
    SayResponse,
    SumRequest,
    SumResponse,
)
from kv.v1.kv_connect import AuditClient, AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, RecordRequest, RecordResponse, WatchRequest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux import Plugin, Runtime
from plugmux.connect import Code, Context, RpcError
from plugmux.dynamic.masking import mask_message
from plugmux.link.link import Link
from plugmux.secrets import Provider, Resolver, Secret
from plugmux.testing import ExpectedCall, RecordingError, Replay, plugin_host
from support.kv_store import Audit, kv_plugin

HEAD = '{"plugmux_recording": 1, "plugin": "kv"}\n'


async def use(kv: KeyValueClient) -> list[object]:
    """What a host does with its plugin."""
    seen: list[object] = []
    seen.append(await kv.put(PutRequest(key="b", value=b"2")))
    seen.append((await kv.get(GetRequest(key="b"))).value)
    seen.append([response.value async for response in kv.watch(WatchRequest(key="a"))])
    try:
        await kv.get(GetRequest(key="none"))
    except RpcError as error:
        seen.append((error.code, error.message))
    return seen


@pytest.fixture
async def recorded(tmp_path: Path) -> tuple[Path, list[object]]:
    path = tmp_path / "kv.jsonl"
    async with plugin_host(kv_plugin(), services=[Audit()], record=path) as host:
        seen = await use(host.client(KeyValueClient))
    return path, seen


async def test_a_host_finds_a_recording_to_be_like_its_plugin(recorded: tuple[Path, list[object]]) -> None:
    path, seen = recorded
    replay = Replay(path, KeyValueService)
    async with plugin_host(Plugin(replay, name="kv")) as host:
        assert await use(host.client(KeyValueClient)) == seen
    replay.assert_finished()


async def test_a_runtime_takes_a_recording_as_a_plugin(recorded: tuple[Path, list[object]]) -> None:
    path, seen = recorded
    async with Runtime([Replay(path, KeyValueService)]) as runtime:
        assert await use(runtime.client(KeyValueClient)) == seen


async def test_a_recording_has_the_calls_of_both_directions_one_a_line(recorded: tuple[Path, list[object]]) -> None:
    path, _ = recorded
    head, *calls = [json.loads(line) for line in path.read_text().splitlines()]
    assert head == json.loads(HEAD)
    assert [(call["direction"], call["method"].rpartition("/")[2]) for call in calls] == [
        ("to_host", "Record"),
        ("to_plugin", "Put"),
        ("to_plugin", "Get"),
        ("to_plugin", "Watch"),
        ("to_plugin", "Get"),
    ]
    assert calls[-1]["error"] == {"code": "not_found", "message": "no key none"}


async def test_what_was_not_recorded_is_told(recorded: tuple[Path, list[object]]) -> None:
    replay = Replay(recorded[0], KeyValueService)
    async with plugin_host(Plugin(replay, name="kv")) as host:
        kv = host.client(KeyValueClient)
        with pytest.raises(RpcError, match=r'"other".*was not recorded') as caught:
            await kv.get(GetRequest(key="other"))
        assert caught.value.code is Code.FAILED_PRECONDITION
        await kv.get(GetRequest(key="b"))
        with pytest.raises(RpcError, match=r"given 1 times.*repeat=True"):
            await kv.get(GetRequest(key="b"))
    with pytest.raises(AssertionError, match="3 calls of the recording"):
        replay.assert_finished()


async def test_a_call_is_given_again_where_the_test_says_so(recorded: tuple[Path, list[object]]) -> None:
    async with plugin_host(Plugin(Replay(recorded[0], KeyValueService, repeat=True), name="kv")) as host:
        kv = host.client(KeyValueClient)
        assert [(await kv.get(GetRequest(key="b"))).value for _ in range(3)] == [b"2"] * 3


async def test_values_named_as_secrets_are_in_no_file_and_no_message(tmp_path: Path) -> None:
    path = tmp_path / "kv.jsonl"
    mask = ["kv.v1.GetResponse.value", "key"]
    async with plugin_host(kv_plugin(hunter22=b"swordfish"), record=path, mask=mask) as host:
        kv = host.client(KeyValueClient)
        await kv.get(GetRequest(key="hunter22"))
        with pytest.raises(RpcError, match="hunter23"):
            await kv.get(GetRequest(key="hunter23"))
        with pytest.raises(AssertionError) as told:
            host.assert_calls()
    for text in (path.read_text(), str(told.value), repr(host.calls)):
        assert "hunter" not in text
        assert "swordfish" not in text
        assert "c3dvcmRmaXNo" not in text  # in base64
    async with plugin_host(Plugin(Replay(path, KeyValueService, mask=mask), name="kv")) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="hunter24"))).value == b"****"


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: object) -> AsyncIterator[Secret]:
        yield Secret(id="vault/a", value=b"swordfish")


async def test_a_secret_is_masked_without_being_named() -> None:
    async with plugin_host(Plugin(Vault(), name="vault")) as host:
        assert (await Resolver(host.runtime).get("vault/a")).value == b"swordfish"
    response = GetSecretsResponse()
    response.envelopes.add(id="vault/a", value=b"swordfish")
    masked, secrets = mask_message(response)
    assert masked.envelopes[0].value == b"****"
    assert masked.envelopes[0].id == "vault/a"
    assert response.envelopes[0].value == b"swordfish"
    assert secrets == ["swordfish"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no recording of plugmux in format 1"),
        ('{"plugmux_recording": 2}\n', "format 1"),
        (HEAD + "{", "line 2 .* is not JSON"),
        (HEAD + "[]", "line 2 .* no JSON object"),
        (HEAD + "{}", "line 2 .* no call"),
        (
            HEAD
            + '{"direction": "to_plugin", "method": "/kv.v1.KeyValueService/Get", "messages": [{"request": {"x": 1}}]}',
            "x",
        ),
        (HEAD + '{"direction": "to_plugin", "method": "/kv.v1.KeyValueService/Get", "messages": [1]}', "does not fit"),
        (
            HEAD + '{"direction": "to_host", "method": "/kv.v1.AuditService/Record", "messages": []}',
            "does not tell when",
        ),
    ],
)
def test_a_file_that_is_no_recording_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "kv.jsonl"
    path.write_text(text)
    with pytest.raises(RecordingError, match=told):
        Replay(path, KeyValueService, AuditClient)


async def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        Replay(tmp_path / "none", KeyValueService)
    with pytest.raises(RecordingError, match="cannot be recorded"):
        async with plugin_host(kv_plugin(), record=tmp_path / "none" / "kv.jsonl"):
            pass


def test_masking_leaves_nothing_of_nested_values() -> None:
    assert mask_message(GetResponse(value=b"abcd"), ["value"]) == (GetResponse(value=b"****"), ["abcd"])


class Diary(AuditService):
    """The host's side: what it is told, and whether it answers."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.changed = asyncio.Event()
        self.refuses = False

    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        self.told.append(request.event)
        self.changed.set()
        if self.refuses:
            raise RpcError(Code.PERMISSION_DENIED, "no")
        return RecordResponse()

    async def wait(self, count: int) -> None:
        while len(self.told) < count:
            self.changed.clear()
            await self.changed.wait()


async def test_the_calls_of_the_host_are_made_again_within_the_calls_that_they_were_made_in(
    recorded: tuple[Path, list[object]],
) -> None:
    replay, diary = Replay(recorded[0], KeyValueService, AuditClient), Diary()
    async with plugin_host(Plugin(replay, name="kv"), services=[diary]) as host:
        kv = host.client(KeyValueClient)
        assert diary.told == []
        await kv.put(PutRequest(key="b", value=b"2"))
        assert diary.told == ["put b"]
        with pytest.raises(AssertionError, match="3 calls of the recording"):
            replay.assert_finished()
        host.assert_calls(ExpectedCall("Record", RecordRequest(plugin="kv", event="put b")), direction="to_host")


async def test_a_host_that_answers_otherwise_than_recorded_is_told(recorded: tuple[Path, list[object]]) -> None:
    replay, diary = Replay(recorded[0], KeyValueService, AuditClient), Diary()
    diary.refuses = True
    async with plugin_host(Plugin(replay, name="kv"), services=[diary]) as host:
        with pytest.raises(RpcError, match=r"not answered .*AuditService/Record.*permission_denied") as caught:
            await host.client(KeyValueClient).put(PutRequest(key="b", value=b"2"))
        assert caught.value.code is Code.FAILED_PRECONDITION
    with pytest.raises(AssertionError, match="permission_denied"):
        replay.assert_finished()


def restless_plugin() -> Plugin:
    """Reports to its host when it starts, and once more, by itself, when its first call has been answered."""
    answered = asyncio.Event()

    class Restless(KeyValueService):
        async def get(self, request: GetRequest, context: Context) -> GetResponse:
            audit = Link.of(context).client(AuditClient)
            events = ("left", "right")
            async with asyncio.TaskGroup() as group:
                for event in events:
                    group.create_task(audit.record(RecordRequest(plugin="kv", event=event)))
            answered.set()
            return GetResponse(value=b"1")

    @asynccontextmanager
    async def lifespan(plugin: Plugin) -> AsyncIterator[None]:
        audit = plugin.client(AuditClient)

        async def report() -> None:
            await audit.record(RecordRequest(plugin="kv", event="begin"))
            await audit.record(RecordRequest(plugin="kv", event="begun"))
            await answered.wait()
            await audit.record(RecordRequest(plugin="kv", event="later"))

        task = asyncio.create_task(report())
        yield
        await task

    return Plugin(Restless(), name="kv", lifespan=lifespan)


@pytest.mark.parametrize("in_process", [False, True])
async def test_calls_that_a_plugin_made_by_itself_are_made_in_their_order(tmp_path: Path, in_process: bool) -> None:
    path, diary = tmp_path / "kv.jsonl", Diary()
    async with plugin_host(restless_plugin(), services=[diary], record=path) as host:
        await diary.wait(2)
        await host.client(KeyValueClient).get(GetRequest(key="a"))
        await diary.wait(5)
        await host.calls_ended(6)
    replay, again = Replay(path, KeyValueService, AuditClient), Diary()
    if in_process:
        async with Runtime([replay], services=[again]) as runtime:
            await again.wait(2)
            assert again.told == ["begin", "begun"]
            await runtime.client(KeyValueClient).get(GetRequest(key="a"))
            await again.wait(5)
    else:
        async with plugin_host(Plugin(replay, name="kv"), services=[again]) as host:
            await again.wait(2)
            assert again.told == ["begin", "begun"]
            await host.client(KeyValueClient).get(GetRequest(key="a"))
            await again.wait(5)
            await host.calls_ended(6)
    assert sorted(again.told) == sorted(diary.told)
    replay.assert_finished()


class Echo(EchoService):
    """A service of the host with a method of each kind."""

    async def say(self, request: SayRequest, context: Context) -> SayResponse:
        return SayResponse(text=request.text)

    async def count(self, request: CountRequest, context: Context) -> AsyncIterator[CountResponse]:
        for number in range(request.to):
            yield CountResponse(number=number)

    async def sum(self, requests: AsyncIterator[SumRequest], context: Context) -> SumResponse:
        return SumResponse(sum=sum([request.number async for request in requests]))

    async def chat(self, requests: AsyncIterator[ChatRequest], context: Context) -> AsyncIterator[ChatResponse]:
        async for request in requests:
            if not request.text:
                raise RpcError(Code.INVALID_ARGUMENT, "says nothing")
            yield ChatResponse(text=request.text)


class CallsAll(KeyValueService):
    """Calls every method of the host's `EchoService`, one of them in vain."""

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        echo = Link.of(context).client(EchoClient)
        said = [(await echo.say(SayRequest(text="a"))).text]
        said += [str(each.number) async for each in echo.count(CountRequest(to=2))]
        said.append(str((await echo.sum([SumRequest(number=1), SumRequest(number=2)])).sum))
        async with echo.chat() as chat:
            await chat.send(ChatRequest(text="b"))
            said.append((await anext(chat)).text)
            await chat.send(ChatRequest())
            with pytest.raises(RpcError):
                await anext(chat)
        return GetResponse(value=",".join(said).encode())


async def test_calls_of_every_kind_are_made_again(tmp_path: Path) -> None:
    path, methods = tmp_path / "kv.jsonl", ["Say", "Count", "Sum", "Chat"]
    async with plugin_host(Plugin(CallsAll(), name="kv"), services=[Echo()], record=path) as host:
        await host.client(KeyValueClient).get(GetRequest(key="a"))
        host.assert_calls(*methods, direction="to_host")
    replay = Replay(path, KeyValueService, EchoClient)
    async with plugin_host(Plugin(replay, name="kv"), services=[Echo()]) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"a,0,1,3,b"
        host.assert_calls(*methods[:3], ExpectedCall("Chat", code=Code.INVALID_ARGUMENT), direction="to_host")
    replay.assert_finished()


async def test_a_call_that_the_plugin_gave_up_is_given_up_again(tmp_path: Path) -> None:
    class Endless(Echo):
        async def count(self, request: CountRequest, context: Context) -> AsyncIterator[CountResponse]:
            yield CountResponse(number=1)
            await asyncio.Event().wait()

    class Leaves(KeyValueService):
        async def get(self, request: GetRequest, context: Context) -> GetResponse:
            async with Link.of(context).client(EchoClient).count(CountRequest(to=9)) as numbers:
                return GetResponse(value=str((await anext(numbers)).number).encode())

    path = tmp_path / "kv.jsonl"
    async with plugin_host(Plugin(Leaves(), name="kv"), services=[Endless()], record=path) as host:
        await host.client(KeyValueClient).get(GetRequest(key="a"))
        await host.calls_ended(2)
    replay = Replay(path, KeyValueService, EchoClient)
    async with plugin_host(Plugin(replay, name="kv"), services=[Endless()]) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"
        await host.calls_ended(2)
        host.assert_calls(ExpectedCall("Count", code=Code.CANCELED), direction="to_host")
    replay.assert_finished()


async def test_a_unary_call_that_the_plugin_gave_up_holds_nothing_up(tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Silent(Echo):
        async def say(self, request: SayRequest, context: Context) -> SayResponse:
            asked.set()
            await asyncio.Event().wait()
            return SayResponse()

    class Leaves(KeyValueService):
        async def get(self, request: GetRequest, context: Context) -> GetResponse:
            call = asyncio.create_task(Link.of(context).client(EchoClient).say(SayRequest()))
            await asked.wait()
            call.cancel()
            await asyncio.wait([call])
            await host.calls_ended(1)
            return GetResponse(value=b"1")

    path = tmp_path / "kv.jsonl"
    async with plugin_host(Plugin(Leaves(), name="kv"), services=[Silent()], record=path) as host:
        await host.client(KeyValueClient).get(GetRequest(key="a"))
    replay = Replay(path, KeyValueService, EchoClient)
    async with plugin_host(Plugin(replay, name="kv"), services=[Silent()]) as again:
        assert (await again.client(KeyValueClient).get(GetRequest(key="a"))).value == b"1"
    replay.assert_finished()
