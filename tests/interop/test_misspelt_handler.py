"""A handler whose name is misspelt is an error when the plugin is made, or compiled, in every language."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from plugmux import Launch, PluginCause, PluginError, Runtime
from support.tools import ROOT, npm_build, tool

PYTHON = """\
from plugmux import Plugin
from kv.v1.kv_connect import KeyValueService

class Store(KeyValueService):
    async def wacth(self, request, context):
        yield

Plugin(Store(), version="v1.0.0").run()
"""

TYPESCRIPT = """\
import { plugin } from "ROOT/ts/dist/ts/src/index.js";
import { KeyValueService } from "ROOT/examples/ts-plugin/dist/build/gen/ts/kv/v1/kv_pb.js";

await plugin({ version: "v1.0.0", services: (router) => router.service(KeyValueService, { wacth() {} }) });
"""

GO = """\
package main

import (
	"context"

	"connectrpc.com/connect"
	kvv1 "plugmux.dev/examples/gen/go/kv/v1"
	"plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
	plugmux "plugmux.dev/go"
)

type store struct{}

func (store) Get(context.Context, *kvv1.GetRequest) (*kvv1.GetResponse, error) { return nil, nil }
func (store) Put(context.Context, *kvv1.PutRequest) (*kvv1.PutResponse, error) { return nil, nil }
func (store) Wacth(context.Context, *kvv1.WatchRequest, *connect.ServerStream[kvv1.WatchResponse]) error { return nil }

func main() {
	plugmux.Main(plugmux.Config{}, plugmux.Service(kvv1connect.NewKeyValueServiceHandler(store{})))
}
"""


@pytest.mark.parametrize(("file", "text"), [("kv_store.py", PYTHON), ("kv_store.mjs", TYPESCRIPT)])
async def test_the_plugin_does_not_start_and_says_what_was_meant(tmp_path: Path, file: str, text: str) -> None:
    npm_build("ts", "examples/ts-plugin")
    (tmp_path / file).write_text(text.replace("ROOT", str(ROOT)))
    async with Runtime([Launch([str(tmp_path / file)], name="kv", timeout=60)]) as runtime:
        error = runtime.plugin("kv").error
    assert isinstance(error, PluginError)
    assert error.cause is PluginCause.EXITED
    assert "of kv.v1.KeyValueService and would never be called; did you mean watch?" in str(error)


def test_go_does_not_compile_it(tmp_path: Path) -> None:
    file = tmp_path / "main.go"
    file.write_text(GO)
    built = subprocess.run(
        [tool("go"), "vet", str(file)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert built.returncode != 0
    assert "store does not implement kvv1connect.KeyValueServiceHandler (missing method Watch)" in built.stderr
    file.write_text(GO.replace("Wacth", "Watch"))
    subprocess.run([tool("go"), "vet", str(file)], cwd=ROOT, check=True, timeout=600)
