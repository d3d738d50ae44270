#!/usr/bin/env python3
"""Runs plugmux and its peers on the same work, in turn, and tells how they compare.

    python bench/run.py [--rounds N] [--seconds S] [--works LIST] [--systems LIST]

Every system is a program that prints its rows (`measure.py`, `peers/`). In each round every work is given to all
systems one after the other; what counts is the median over the rounds, of ratios as of figures. Results go to
bench/results/: latest.json, and a chart.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from chart import chart
from goals import GOALS
from table import Rows, goals_table, medians, rows_table

HERE = Path(__file__).parent
ROOT = HERE.parent
PEERS = ROOT / "bin" / "bench-peers"
SYSTEMS = HERE / "systems"

CALLS = ("unary-serial", "unary-16", "unary-64k", "unary-1m")
STREAMS = ("stream-100b", "stream-64k", "upload-64k")
BULK = ("raw-bulk", "raw-bulk-grown")
NODE = ("unary-serial", "ts-unary-16", "unary-64k", *STREAMS)
SCALE = ("plugins-100", "plugins-1000", "idle-streams", "instances-100k", "resolver-200")
OWN = ("small-under-bulk", "launch", "import", "memory", *SCALE, "start-50")
# What is compared, one close to the other.
WORKS = ("host-to-go-plugin", *CALLS, "cpu-16", "ts-unary-16", "socket-json-64", *STREAMS, *BULK, *OWN)

COMMANDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "plugmux": (
        [sys.executable, str(SYSTEMS / "python_pair.py")],
        tuple(work for work in WORKS if work != "ts-unary-16"),
    ),
    "plugmux-uvloop": ([sys.executable, str(SYSTEMS / "python_pair.py"), "-uvloop"], (*CALLS, *STREAMS, *BULK)),
    "plugmux-compiled": (
        [str(ROOT / ".venv-compiled" / "bin" / "python"), str(SYSTEMS / "python_pair.py"), "-compiled"],
        (*CALLS, "cpu-16", *STREAMS, *BULK, "plugins-1000", "start-50", "socket-json-64"),
    ),
    "plugmux-go": (
        [sys.executable, str(SYSTEMS / "python_pair.py"), "-go"],
        ("unary-serial", "unary-16", "unary-64k", "cpu-16", *STREAMS),
    ),
    "plugmux-ts": ([sys.executable, str(SYSTEMS / "python_pair.py"), "-ts"], (*NODE, "cpu-16")),
    "go-pair": ([str(PEERS), "go-pair"], (*CALLS, *STREAMS)),
    "grpc-aio": ([sys.executable, str(SYSTEMS / "grpc_aio.py")], (*CALLS, *STREAMS)),
    "connect-go": ([str(PEERS), "connect-go"], (*CALLS, *STREAMS, "socket-json-64")),
    "go-plugin": ([str(PEERS), "go-plugin"], (*CALLS, *STREAMS, "launch")),
    "ttrpc": ([str(PEERS), "ttrpc"], (*CALLS, *STREAMS)),
    "go-yamux": ([str(PEERS), "go-yamux"], BULK),
    "grpc-js": (["node", str(HERE / "node" / "grpc_js.js")], NODE),
    "connect-node": (["node", str(HERE / "node" / "connect_node.js")], NODE),
    "uvicorn-fastapi": ([sys.executable, str(SYSTEMS / "uvicorn_fastapi.py")], ("socket-json-64",)),
    "httpx-uvicorn": ([sys.executable, str(SYSTEMS / "httpx_uvicorn.py")], CALLS),
    "rpyc": ([sys.executable, str(SYSTEMS / "rpyc_unix.py")], CALLS),
    "mcp": ([sys.executable, str(SYSTEMS / "mcp_stdio.py")], ("unary-serial", "unary-16", "launch")),
    "pyvider": ([sys.executable, str(SYSTEMS / "pyvider_launch.py")], ("launch",)),
    "floor": (
        [sys.executable, str(SYSTEMS / "asyncio_floor.py")],
        ("unary-serial", "unary-64k", "unary-1m", "raw-bulk", "launch"),
    ),
}
"""Each system's program, and the works that it can do."""

PACKAGES = (
    "protobuf",
    "h11",
    "uvloop",
    "grpcio",
    "httpx",
    "uvicorn",
    "httptools",
    "fastapi",
    "rpyc",
    "mcp",
    "pyvider-rpcplugin",
)
MODULES = ("hashicorp/yamux", "connectrpc.com/connect", "hashicorp/go-plugin", "containerd/ttrpc", "grpc ")
NODE_PACKAGES = ("bench/node/node_modules/@grpc/grpc-js", "node_modules/@connectrpc/connect-node")
TIME_LIMIT = 300


def command(system: str, works: Sequence[str], seconds: float) -> list[str]:
    """The command that measures works of a system."""
    program, *flags = COMMANDS[system][0]
    script = [flags.pop(0)] if flags and flags[0].endswith((".py", ".js")) else []
    return [program, *script, "-seconds", str(seconds), "-works", ",".join(works), *flags]


def measure(system: str, work: str, seconds: float) -> dict[str, float]:
    """One measurement: the figures of one work of one system; none when its program failed, which is told."""
    try:
        done = subprocess.run(
            command(system, [work], seconds), capture_output=True, text=True, check=True, timeout=TIME_LIMIT
        )
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        told = str(getattr(error, "stderr", None) or "")[-2000:]
        print(f"{system} failed at {work}: {error}\n{told}", file=sys.stderr)
        return {}
    (row,) = (json.loads(line) for line in done.stdout.splitlines())
    return {name: figure for name, figure in row.items() if name not in {"work", "system"}}


def measure_all(works: list[str], systems: list[str], rounds: int, seconds: float) -> list[Rows]:
    """What each round has measured: every work by every system in turn."""
    measured: list[Rows] = []
    for number in range(1, rounds + 1):
        measured.append(rows := {})
        for work in works:
            print(f"round {number} of {rounds}: {work}", file=sys.stderr)
            for system in systems:
                if work in COMMANDS[system][1] and (figures := measure(system, work, seconds)):
                    rows[work, system] = figures
    return measured


def versions() -> dict[str, str]:
    """What was measured: the versions of the peers, the interpreters and the machine."""
    found = {"python": platform.python_version(), "machine": f"{os.cpu_count()} CPUs, {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    listed = subprocess.run(
        ["go", "list", "-m", "all"], cwd=HERE / "peers", capture_output=True, text=True, check=False
    ).stdout
    for line in listed.splitlines():
        module, _, version = line.partition(" ")
        if any(wanted in line for wanted in MODULES) and version:
            found[module] = version
    for folder in NODE_PACKAGES:
        if (manifest := ROOT / folder / "package.json").exists():
            found[manifest.parent.name] = json.loads(manifest.read_text())["version"]
    found["node"] = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    found["go"] = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is made")
    parser.add_argument("--seconds", type=float, default=0.4, help="how long each measurement takes")
    parser.add_argument("--works", default=",".join(WORKS), help="which works, separated by commas")
    parser.add_argument("--systems", default=",".join(COMMANDS), help="which systems, separated by commas")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results", help="the folder for latest.json and the chart"
    )
    given = parser.parse_args()
    works, systems = given.works.split(","), given.systems.split(",")
    if unknown := (set(works) - set(WORKS)) | (set(systems) - set(COMMANDS)):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is launched is compiled, as it is when it is installed
    rounds = measure_all(works, systems, given.rounds, given.seconds)
    rows = medians(rounds)
    used = versions()
    given.output.mkdir(exist_ok=True)
    listed = [{"work": work, "system": system, **figures} for (work, system), figures in rows.items()]
    (given.output / "latest.json").write_text(json.dumps({"versions": used, "rows": listed}, indent=1) + "\n")
    (given.output / "latest.svg").write_text(chart(rows))
    print(", ".join(f"{name} {version}" for name, version in used.items()))
    print(f"\nmedians of {given.rounds} rounds of {given.seconds:g} s\n")
    print(rows_table(rows))
    print("\nthe goals; a ratio is ours to theirs, taken in each round\n")
    print(goals_table(rounds, GOALS))


if __name__ == "__main__":
    main()
