"""The Go and TypeScript examples of the pages compile, each with what it leaves out."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from plugmux.new.project import Project
from plugmux.new.render import render
from support.pages import Example, all_examples
from support.tools import ROOT, tool

PLACE = "// (what the page shows)"
ELSEWHERE = {"docs/new.md": "tests/new/test_docs.py", "README.md": "tests/test_readme.py"}
"""Pages whose examples are files that are built: these tests hold them to those."""

GO = {
    "docs/callbacks.md": """
        package shown
        import (
            "context"
            "plugmux.dev/examples/gen/go/cloud/v1"
            "plugmux.dev/examples/gen/go/cloud/v1/cloudv1connect"
            plugmux "plugmux.dev/go"
        )
        func upload(ctx context.Context, request *cloudv1.UploadRequest, file cloudv1connect.FileServiceHandler) error {
            // (what the page shows)
            _, _ = progress, reference
            return err
        }""",
    "docs/configuration.md": """
        package shown
        import (
            "plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
            plugmux "plugmux.dev/go"
        )
        type Options struct{ Size int }
        type store struct{ kvv1connect.UnimplementedKeyValueServiceHandler }
        var schema = `{}`
        var config = plugmux.Config{}
        func resize(Options) error { return nil }
        func serve() {
            // (what the page shows)
        }""",
    "docs/instances.md": """
        package main
        import (
            "context"
            "plugmux.dev/examples/gen/go/cloud/v1/cloudv1connect"
            plugmux "plugmux.dev/go"
        )
        type settings struct{ Region string }
        type region struct {
            cloudv1connect.UnimplementedStorageServiceHandler
            settings
        }
        func (*region) close() {}
        var schema = `{}`
        var config = plugmux.Config{}
        // (what the page shows)""",
    "docs/tutorial-go.md": """
        package shown
        import (
            "context"
            "plugmux.dev/build/_page-examples/hellov1"
        )
        type greeter struct{}
        // (what the page shows)""",
    "go/README.md 0": """
        package main
        import (
            "context"
            "plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
        )
        // (what the page shows)
        type store struct{ kvv1connect.UnimplementedKeyValueServiceHandler }
        func secrets(context.Context, plugmux.Pattern) ([]plugmux.Secret, error) { return nil, nil }
        """,
    "go/README.md 1": """
        package shown
        import (
            "net/http"
            "os/exec"
            "testing"
            "time"
            kvv1 "plugmux.dev/examples/gen/go/kv/v1"
            "plugmux.dev/examples/gen/go/kv/v1/kvv1connect"
            pluginsv1 "plugmux.dev/gen/go/plugins/v1"
            "plugmux.dev/go/plugmuxtest"
        )
        type recorder struct{ kvv1connect.UnimplementedAuditServiceHandler }
        // (what the page shows)""",
}
"""What stands around the Go examples of a page, where they are not whole files."""

HELLO = "package hellov1\n\ntype PartRequest struct{ Name string }\ntype PartResponse struct{ Text string }\n"

TS = {
    "docs/callbacks.md": """
        import type { Host, PluginOptions } from "plugmux";
        import type { ServiceImpl } from "@connectrpc/connect";
        import { FileService, ProgressService, type UploadRequest } from "./gen/cloud/v1/cloud_pb.js";
        export function upload(request: UploadRequest, host: Host, file: ServiceImpl<typeof FileService>) {
          // (what the page shows)
          return [progress, reference];
        }""",
    "docs/configuration.md": """
        import { plugin, type PluginOptions, Settings } from "plugmux";
        type Options = { size: number };
        declare const schema: object;
        declare function resize(options: Options): void;
        declare const services: NonNullable<PluginOptions["services"]>;
        // (what the page shows)""",
    "docs/instances.md": """
        import { Instances, plugin, type Host, type Lent } from "plugmux";
        import { StorageService } from "./gen/cloud/v1/cloud_pb.js";
        type Settings = { region: string };
        declare const schema: object;
        // (what the page shows)""",
    "ts/README.md 0": "declare function lookUp(key: string): Uint8Array;\n// (what the page shows)",
    "ts/README.md 1": """
        import type { PluginOptions } from "plugmux";
        import { FileService, ProgressService, StorageService } from "./gen/cloud/v1/cloud_pb.js";
        declare const files: { get(name: string): { content: Uint8Array; close(): void } };
        declare function address(name: string): string;
        export const options: Partial<PluginOptions> = {
          // (what the page shows)
        };""",
    "ts/README.md 2": """
        import { Instances, plugin } from "plugmux";
        import { StorageService } from "./gen/cloud/v1/cloud_pb.js";
        type Settings = { region: string };
        declare function connect(region: string): Promise<{ put(content: Uint8Array): object; close(): void }>;
        // (what the page shows)""",
    "ts/README.md 4": """
        import type { Readable, Writable } from "node:stream";
        declare const socket: Readable & Writable;
        // (what the page shows)""",
}
"""What stands around the TypeScript examples of a page, where they are not whole modules."""


def around(example: Example, those: dict[str, str]) -> str:
    """An example with what stands around it."""
    wrapping = those.get(f"{example.page} {example.number}", those.get(example.page, PLACE))
    return wrapping.replace(PLACE, example.text.removeprefix("#!/usr/bin/env node\n"))


def compiled(language: str) -> list[Example]:
    return [example for example in all_examples(language) if example.page not in ELSEWHERE]


def test_the_go_compiles() -> None:
    folder = ROOT / "build/_page-examples"  # What begins so, `go vet ./...` leaves out.
    (folder / "hellov1").mkdir(parents=True, exist_ok=True)
    (folder / "hellov1/hello.go").write_text(HELLO)
    places = []
    for number, example in enumerate(compiled("go")):
        place = folder / f"shown{number}"
        place.mkdir(exist_ok=True)
        name = "shown_test.go" if "testing.T" in example.text else "shown.go"
        source = around(example, GO)
        (place / name).write_text(f"// {example}\n{source}")
        places.append(f"./{place.relative_to(ROOT)}")
    (folder / "go.work").write_text("go 1.26.0\n\nuse (\n\t../..\n\t../../go/plugmuxotel\n)\n")
    command = [tool("go"), "vet", "-composites=false", *places]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "GOWORK": str(folder / "go.work")}, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder in which the packages and the generated code of the examples are found."""
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    (tmp_path / "gen").symlink_to(ROOT / "examples/gen/ts")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def hello(project: Path) -> None:
    """Generate the stubs of `plugmux new hello --lang ts`, which a tutorial goes on with."""
    (project / "hello/proto").mkdir(parents=True)
    (project / "hello/proto/hello.proto").write_text(render(Project("hello", "ts"))["proto/hello/v1/hello.proto"])
    plugins = [{"local": [str(ROOT / "node_modules/.bin/protoc-gen-es")], "opt": "target=ts", "out": "."}]
    template = json.dumps({"version": "v2", "inputs": [{"directory": "proto"}], "plugins": plugins})
    subprocess.run([tool("buf"), "generate", "--template", template], cwd=project / "hello", check=True)


def test_the_typescript_compiles(project: Path) -> None:
    hello(project)
    files = []
    for number, example in enumerate(compiled("ts")):
        source = around(example, TS).replace("../gen/hello/v1/hello_pb.js", "./hello/hello_pb.js")
        source = source.replace("./gen/kv/v1/audit_pb.js", "./gen/kv/v1/kv_pb.js")
        (project / f"shown{number}.ts").write_text(f"// {example}\n{source}\nexport {{}};\n")
        files.append(f"shown{number}.ts")
    (project / "options.ts").write_text(
        'import type { PluginOptions } from "plugmux";\nexport declare const options: PluginOptions;\n'
    )
    options = {"module": "nodenext", "target": "es2022", "strict": True, "noEmit": True, "skipLibCheck": True}
    options |= {"types": ["node"], "preserveSymlinks": True}
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": files}))
    ran = subprocess.run([str(ROOT / "node_modules/.bin/tsc")], cwd=project, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
