"""Run by `make nodes`, with each Node.js: a plugin in a `.ts` file runs as it is, or the error says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plugmux import PluginCause, PluginError, Runtime
from plugmux.runtime.process.scripts import strips_types
from support.tools import ROOT, tool

PROTO = """
syntax = "proto3";
package words.v1;
service WordsService { rpc Count(CountRequest) returns (CountResponse); }
enum Kind { KIND_UNSPECIFIED = 0; }
message CountRequest { string text = 1; Kind kind = 2; }
message CountResponse { int32 words = 1; }
"""

PLUGIN = """
import { plugin } from "plugmux";
import { type CountRequest, WordsService } from "./gen/words_pb.SUFFIX";

const count = ({ text }: CountRequest): { words: number } => ({ words: text.split(" ").length });
await plugin({ version: "v1.0.0", services: (router) => router.service(WordsService, { count }) });
"""


def project(folder: Path, target: str, suffix: str) -> Path:
    """A plugin with its messages."""
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "words.proto").write_text(PROTO)
    (folder / "gen").mkdir()
    generate = ["-m", "grpc_tools.protoc", f"--plugin={ROOT}/node_modules/.bin/protoc-gen-es", "--es_out=gen"]
    options = [f"--es_opt=target={target}", "words.proto", "-I."]
    subprocess.run([tool("python"), *generate, *options], cwd=folder, check=True, capture_output=True)
    (folder / "words.ts").write_text(PLUGIN.replace("SUFFIX", suffix))
    return folder / "words.ts"


@pytest.fixture(scope="module")
def strips() -> bool:
    """Whether this Node.js runs TypeScript."""
    ran = subprocess.run([tool("node"), "--version"], check=True, capture_output=True, text=True)
    return strips_types(ran.stdout) is not None


async def error_of(program: Path) -> PluginError:
    async with Runtime([str(program)]) as runtime:
        error = runtime.plugin("words").error
        assert error is not None
        return error


async def test_a_plugin_in_typescript_runs_as_it_is(tmp_path: Path, strips: bool) -> None:
    program = project(tmp_path, "js+dts", "js")
    if not strips:
        error = await error_of(program)
        assert error.cause is PluginCause.MISSING_INTERPRETER
        assert "cannot run: node does from 22.6 on" in error.detail
        return
    call = [sys.executable, "-m", "plugmux.cli", "call", "words.v1.WordsService/Count", '{"text": "to be or"}']
    ran = subprocess.run([*call, "--plugin", str(program)], capture_output=True, text=True, check=False)
    assert ran.stdout == '{"words":3}\n', ran.stderr


@pytest.mark.parametrize(("suffix", "why"), [("ts", "compiles no enum"), ("js", "only as .ts, and not as .js")])
async def test_messages_in_typescript_are_told_to_be_generated_anew(
    tmp_path: Path, strips: bool, suffix: str, why: str
) -> None:
    error = await error_of(project(tmp_path, "ts", suffix))
    assert (why in error.detail, "target=js+dts" in error.detail) == (strips, strips)
