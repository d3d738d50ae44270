"""Calls written to a file, and a plugin made of that file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse, PutRequest, WatchRequest
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsResponse

from plugmux import Plugin, Runtime
from plugmux.connect import Code, RpcError
from plugmux.dynamic.masking import mask_message
from plugmux.secrets import Provider, Resolver, Secret
from plugmux.testing import RecordingError, Replay, plugin_host
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
    ],
)
def test_a_file_that_is_no_recording_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "kv.jsonl"
    path.write_text(text)
    with pytest.raises(RecordingError, match=told):
        Replay(path, KeyValueService)


async def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        Replay(tmp_path / "none", KeyValueService)
    with pytest.raises(RecordingError, match="cannot be recorded"):
        async with plugin_host(kv_plugin(), record=tmp_path / "none" / "kv.jsonl"):
            pass


def test_masking_leaves_nothing_of_nested_values() -> None:
    assert mask_message(GetResponse(value=b"abcd"), ["value"]) == (GetResponse(value=b"****"), ["abcd"])
