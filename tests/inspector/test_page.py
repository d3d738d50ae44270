"""The page's server over a real runtime: what is served to whom, and what is masked."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import PutRequest

from plugmux import Code, Runtime
from plugmux.errors import DOCUMENTATION
from plugmux.http import SocketClient
from plugmux.inspector import PageServer
from plugmux.secrets import Provider, Secret
from support.programs import kv_program
from support.tools import ROOT

STATIC = {"": "text/html", "page.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"}


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: object) -> AsyncIterator[Secret]:
        yield Secret(id="vault/a", value=b"the-secret-value")


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    address = f"unix:{tmp_path}/private/runtime.sock"
    async with Runtime([kv_program(tmp_path), Vault()], listen=[address]) as runtime:
        yield runtime


@pytest.fixture
async def url(runtime: Runtime) -> AsyncIterator[str]:
    transport = SocketClient(runtime.addresses[0])
    server = PageServer(transport, "unix:/somewhere")
    yield await server.start()
    await server.close()


@pytest.fixture
async def browser(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60) as browser:
        entered = await browser.get(url)
        assert entered.status_code == 200
        at = urlsplit(url)
        path = entered.text.partition("url=")[2].partition('"')[0]
        browser.base_url = httpx.URL(f"{at.scheme}://{at.netloc}{path}")
        browser.headers["origin"] = f"{at.scheme}://{at.netloc}"
        yield browser


def test_the_page_knows_where_the_documentation_is() -> None:
    assert f'DOCUMENTATION = "{DOCUMENTATION}/";' in (ROOT / "ui/src/parts.tsx").read_text("utf-8")


@pytest.mark.parametrize("name", STATIC)
async def test_each_file_of_the_page_is_served_and_kept_within_it(browser: httpx.AsyncClient, name: str) -> None:
    response = await browser.get(name)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(STATIC[name])
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["none", "../page.js", "%2e%2e/server.py", "a/b/c", "resolver.v1.ResolverService/GetSecrets"]
)
async def test_nothing_else_is_served(browser: httpx.AsyncClient, path: str) -> None:
    assert (await browser.get(path)).status_code in (403, 404)


async def test_the_services_of_plugins_are_not_reached_past_the_mask(browser: httpx.AsyncClient) -> None:
    for path in ("kv.v1.KeyValueService/Get", "resolver.v1.ResolverService/GetSecrets"):
        response = await browser.post(path, json={})
        assert response.status_code == 404


async def test_without_the_session_nothing_is_served(url: str, browser: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=browser.base_url, timeout=60) as stranger:
        for path in (*STATIC, "plugmux.v1.InspectService/Watch"):
            assert (await stranger.get(path)).status_code == 403
        headers = {"origin": browser.headers["origin"], "content-type": "application/json"}
        listing = "plugins.v1.PluginManagementService/ListPlugins"
        assert (await stranger.post(listing, content=b"{}", headers=headers)).status_code == 403
        assert (await browser.post(listing, content=b"{}", headers=headers)).status_code == 200
        assert (await stranger.get(url)).status_code == 403
        rebound = await browser.get("", headers={"host": "evil.example"})
        assert rebound.status_code == 421
        foreign = {**headers, "origin": "http://evil.example"}
        assert (await browser.post(listing, content=b"{}", headers=foreign)).status_code == 403


async def test_the_page_watches_the_runtime(browser: httpx.AsyncClient) -> None:
    response = await browser.post(
        "plugins.v1.PluginManagementService/ListPlugins", content=b"{}", headers={"content-type": "application/json"}
    )
    assert {plugin["name"] for plugin in response.json()["plugins"]} == {"kv", "Vault"}


async def call(browser: httpx.AsyncClient, **request: object) -> tuple[list[object], dict[str, object]]:
    """The messages of a call through the page's own service, and how it ended."""
    body = json.dumps(request).encode()
    response = await browser.post(
        "plugmux.v1.InspectorService/Call",
        content=b"\0" + len(body).to_bytes(4, "big") + body,
        headers={"content-type": "application/connect+json"},
    )
    assert response.status_code == 200, response.text
    rest, events = response.content, []
    while rest:
        size = int.from_bytes(rest[1:5], "big")
        events.append(json.loads(rest[5 : 5 + size]))
        rest = rest[5 + size :]
    messages = [json.loads(event["messageJson"]) for event in events if "messageJson" in event]
    return messages, next((event["ended"] for event in events if "ended" in event), events[-1])


async def test_a_method_of_each_kind_is_called(runtime: Runtime, browser: httpx.AsyncClient) -> None:
    await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"x"))
    got, ended = await call(browser, plugin="kv", method="kv.v1.KeyValueService/Get", requestsJson=['{"key": "a"}'])
    assert got == [{"value": "eA=="}]
    assert "code" not in ended
    seen, _ = await call(browser, plugin="kv", method="kv.v1.KeyValueService/Watch", requestsJson=["{}"])
    assert seen == [{"value": "MA=="}, {"value": "MQ=="}, {"value": "Mg=="}]
    _, failed = await call(browser, plugin="kv", method="kv.v1.KeyValueService/Get", requestsJson=['{"key": "none"}'])
    assert (failed["code"], failed["message"]) == ("not_found", "no key 'none'")
    _, wrong = await call(browser, plugin="kv", method="kv.v1.KeyValueService/Get", requestsJson=["{"])
    assert "the message is not JSON" in json.dumps(wrong)
    _, nobody = await call(browser, plugin="none", method="kv.v1.KeyValueService/Get", requestsJson=["{}"])
    assert nobody["code"] == "unavailable"


@pytest.mark.parametrize("plugin", ["Vault", "kv", ""])
async def test_secrets_are_not_had_through_the_page(browser: httpx.AsyncClient, plugin: str) -> None:
    request = {"plugin": plugin, "method": "resolver.v1.ResolverService/GetSecrets"}
    got, ended = await call(browser, **request, requestsJson=['{"pattern": "vault/**"}'])
    assert got == []
    assert ended["code"] == "unavailable"


async def test_a_call_that_has_ended_takes_no_messages(browser: httpx.AsyncClient) -> None:
    response = await browser.post("plugmux.v1.InspectorService/Send", json={"call": "none", "messageJson": "{}"})
    assert response.json()["code"] == Code.NOT_FOUND.value


async def test_the_schema_of_a_service_is_given_with_all_that_it_imports(browser: httpx.AsyncClient) -> None:
    response = await browser.post(
        "plugmux.v1.InspectorService/GetSchema", json={"plugin": "kv", "service": "kv.v1.KeyValueService"}
    )
    assert response.status_code == 200
    files = FileDescriptorSet.FromString(b64decode(response.json()["fileDescriptorSet"]))
    fields = [field for file in files.file for message in file.message_type for field in message.field]
    assert {field.json_name for field in fields} >= {"key", "value"}
    assert all(field.json_name for field in fields)
    missing = await browser.post("plugmux.v1.InspectorService/GetSchema", json={"plugin": "kv", "service": "no.Such"})
    assert missing.json()["code"] == Code.UNIMPLEMENTED.value
