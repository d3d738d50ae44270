"""What the pages about the runtime say, run."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, RecordRequest, RecordResponse

from plugmux import BreakerPolicy, HealthPolicy, RestartPolicy, RetryPolicy, Runtime, Timeouts
from plugmux.connect import Context
from support.pages import examples, run_examples
from support.programs import script
from support.tools import ROOT

KV_PLUGIN = """
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=b"1")

    Plugin(Store(), version="v1.0.0").run()
"""

SHOUTING_PLUGIN = f"{examples('docs/streams.md')[0]}\nplugin.run()\n"


VERSIONED_PLUGIN = f"{examples('docs/versions.md')[0]}\nplugin.run()\n"


@pytest.mark.parametrize(
    "page",
    [
        f"docs/{page}.md"
        for page in (
            "configuration",
            "discovery",
            "failover",
            "lifecycle",
            "health",
            "logs",
            "metrics",
            "runtime",
            "security",
            "streams",
            "supervision",
            "versions",
        )
    ],
)
async def test_every_example_of_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path, "kv-plugin", KV_PLUGIN)
    script(tmp_path, "shouting", SHOUTING_PLUGIN)
    script(tmp_path, "settled-plugin", f"{examples('docs/configuration.md')[0]}\nplugin.run()\n")
    (tmp_path / "plugins" / "kv" / "1.2.0").mkdir(parents=True)
    script(tmp_path / "plugins" / "kv" / "1.2.0", "kv", VERSIONED_PLUGIN)
    script(tmp_path, "talker", '\n    print("hello", flush=True)' + KV_PLUGIN)
    monkeypatch.chdir(tmp_path)
    names = await run_examples(
        page,
        {
            "KeyValueClient": KeyValueClient,
            "GetRequest": GetRequest,
            "Runtime": Runtime,
            "DIRECTORY": tmp_path / "detached",
            "COMMAND": "./shouting",
        },
    )
    assert names.get("chosen", 2) == 2  # of docs/versions.md


async def test_every_example_with_http_runs(tmp_path: Path) -> None:
    serving = script(tmp_path, "serving", f"{examples('docs/http.md')[0]}\nplugin.run()\n")
    await run_examples("docs/http.md", {"Runtime": Runtime, "COMMAND": serving})


async def test_the_example_of_a_plugin_calls_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serving, _, opening = examples("docs/plugins.md")
    script(tmp_path, "kv-plugin", f"{serving}\nplugin.run()\n")
    monkeypatch.chdir(tmp_path)
    await run_examples("docs/plugins.md")
    assert capsys.readouterr().out == "kv-plugin put a\n"
    script(tmp_path, "opening", f"{serving}\n{opening}\nplugin.run()\n")
    audited: asyncio.Queue[str] = asyncio.Queue()

    class Audit(AuditService):
        async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
            audited.put_nowait(f"{request.plugin} {request.event}")
            return RecordResponse()

    async with Runtime(["./opening"], services=[Audit()]):
        assert await audited.get() == "opening started"


@pytest.mark.parametrize("page", ["docs/instances.md", "docs/callbacks.md"])
async def test_every_example_with_objects_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    regions, callbacks = examples("docs/instances.md"), examples("docs/callbacks.md")
    script(tmp_path, "cloud", f"{regions[0]}\n{regions[1]}\nplugin.run()\n")
    script(tmp_path, "storage", f"{callbacks[0]}\nplugin.run()\n")
    script(tmp_path, "opener", f"{callbacks[0]}\n{callbacks[2]}\nplugin.run()\n")
    monkeypatch.chdir(tmp_path)
    await run_examples(page)
    assert capsys.readouterr().out == {"docs/instances.md": "frankfurt/a\n"}.get(page, "100 %\nb'hello'\n")


@pytest.mark.parametrize(
    ("page", "policy"),
    [
        ("supervision", RestartPolicy),
        ("health", HealthPolicy),
        ("failover", RetryPolicy),
        ("failover", BreakerPolicy),
        ("runtime", Timeouts),
    ],
)
def test_the_page_has_every_default_of_the_policy(page: str, policy: type) -> None:
    table = re.split(rf"^\| `{policy.__name__}` .*$", (ROOT / f"docs/{page}.md").read_text(), flags=re.MULTILINE)[1]
    shown = dict(re.findall(r'^\| `(\w+)` \| "?(\S+?)"? \|', table.partition("\n\n")[0], re.MULTILINE))
    assert shown == {field.name: str(field.default) for field in fields(policy)}
