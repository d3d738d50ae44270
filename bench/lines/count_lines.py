"""Run by `make lines`: the lines of a plugin and its host for one job, in several systems, each of which is run first.

The job: a host starts a plugin, puts a value, gets it, prints it, and ends the plugin. What counts
is what an author writes: every line that is neither blank nor a comment. What a generator writes does not count; the
proto that it is written from does, and is the same for those that have one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

LINES = Path(__file__).parent
ROOT = LINES.parents[1]
PROTO = """
syntax = "proto3";
package kv.v1;
service KeyValueService {
  rpc Get(GetRequest) returns (GetResponse);
  rpc Put(PutRequest) returns (PutResponse);
}
message GetRequest { string key = 1; }
message GetResponse { bytes value = 1; }
message PutRequest { string key = 1; bytes value = 2; }
message PutResponse {}
"""


@dataclass(frozen=True)
class System:
    """One system.

    Args:
        name: its folder.
        typed: what describes its calls to a type checker, or "no".
        plugin: the files of the plugin.
        host: the files of the host.
        shared: the files that both need.
    """

    name: str
    typed: str
    plugin: tuple[str, ...] = ("plugin.py",)
    host: tuple[str, ...] = ("host.py",)
    shared: tuple[str, ...] = ()


SYSTEMS = (
    System("plugmux", "proto"),
    System("grpcio", "proto"),
    System("go-plugin", "Go interface", ("plugin/main.go",), ("host/main.go",), ("store/store.go",)),
    System("mcp", "no"),
    System("rpyc", "no"),
)


def count(text: str) -> int:
    """The lines that are neither blank nor a comment."""
    return sum(bool(line.strip()) and not line.strip().startswith(("#", "//")) for line in text.splitlines())


def lines(system: System, files: tuple[str, ...]) -> int:
    """The lines of some files of a system."""
    return sum(count((LINES / system.name / file).read_text()) for file in files)


def run(system: System) -> str:
    """What the host prints."""
    folder = LINES / system.name
    if system.name == "go-plugin":
        for program in ("plugin", "host"):
            subprocess.run(["go", "build", "-o", f"bin/{program}", f"./{program}"], cwd=folder, check=True)
        return printed(["./bin/host"], folder, {})
    if system.name != "grpcio":
        return printed([sys.executable, "host.py"], folder, {"PYTHONPATH": str(ROOT / "examples/gen/python")})
    with tempfile.TemporaryDirectory() as stubs:
        (Path(stubs) / "kv/v1").mkdir(parents=True)
        (Path(stubs) / "kv/v1/kv.proto").write_text(PROTO)
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{stubs}", f"--python_out={stubs}"]
        subprocess.run([*protoc, f"--grpc_python_out={stubs}", "kv/v1/kv.proto"], check=True)
        return printed([sys.executable, "host.py"], folder, {"PYTHONPATH": stubs})


def printed(command: list[str], folder: Path, env: dict[str, str]) -> str:
    """What a program prints on stdout; its errors end this one."""
    done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    print("| system | typed by | plugin | host | both need | together |\n| --- | --- | --- | --- | --- | --- |")
    for system in SYSTEMS:
        assert run(system) == "1", system.name
        plugin, host, shared = (lines(system, files) for files in (system.plugin, system.host, system.shared))
        shared += count(PROTO) if system.typed == "proto" else 0
        print(f"| {system.name} | {system.typed} | {plugin} | {host} | {shared} | {plugin + host + shared} |")


if __name__ == "__main__":
    main()
