#!/usr/bin/env python3
"""plugmux over TLS beside its peers, on loopback and at a round trip of 20 ms; 200 plugins that link again.

Every system has a server of its own process, and certificates at both ends. A round measures each system in turn, first
straight, and then through `delay.py`. (`make bench-remote`)
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from goals import Goal
from plugmux.network.authority import Authority, save
from table import Rows, goals_table, medians, rows_table

HERE = Path(__file__).parent
ROOT = HERE.parent
PEERS = ROOT / "bin" / "bench-peers"
RTT = 0.02
AT_RTT = "@20ms"
WORKS = ("unary-serial", "unary-16", "stream-64k", "raw-bulk")
PATIENCE = 30.0


def python(program: str) -> list[str]:
    return [sys.executable, str(HERE / "systems" / program)]


# What measures, and what serves.
SYSTEMS: dict[str, tuple[list[str], list[str]]] = {
    "plugmux": (python("plugmux_tls.py"), [*python("plugmux_tls.py"), "serve"]),
    "raw-tls": (python("raw_tls.py"), [*python("raw_tls.py"), "serve"]),
    "grpc-aio": (python("grpc_tls.py"), [*python("grpc_tls.py"), "serve"]),
    "connect-go": ([str(PEERS)], [str(PEERS), "serve-tls"]),
}

PER_S, CPU = "per_s", "cpu_us"


def goals(at: str) -> Iterator[Goal]:
    """What plugmux is to reach on loopback, or at the round trip."""

    def goal(what: str, work: str, other: str, figure: str, bound: float) -> Goal:
        told = f"{what}{at}, to {other}" if figure == PER_S else f"{what}{at}, processor time, to {other}"
        sign: Literal["<=", ">="] = ">=" if figure == PER_S else "<="
        return Goal(told, f"{work}{at} plugmux {figure}", f"{work}{at} {other} {figure}", sign, bound)

    if not at:  # Where the round trip is long it is all of a call, in every system.
        yield goal("16 in flight", "unary-16", "grpc-aio", PER_S, 1.5)
    yield goal("16 in flight", "unary-16", "grpc-aio", CPU, 0.67)
    yield goal("serial", "unary-serial", "grpc-aio", PER_S, 1 if at == "" else 0.9)
    yield goal("server stream, 64 KiB", "stream-64k", "raw-tls", PER_S, 0.8)
    yield goal("raw stream", "raw-bulk", "raw-tls", PER_S, 0.8)
    yield goal("raw stream", "raw-bulk", "raw-tls", CPU, 1.25)


GOALS = (*goals(""), *goals(AT_RTT))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def program(command: Sequence[object], port: int, environ: dict[str, str]) -> Iterator[int]:
    """The process of a program that listens at a port."""
    process = subprocess.Popen(
        list(map(str, command)), env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{process.args!r} does not listen") from None
            time.sleep(0.02)


def measure(
    system: str, folder: Path, port: int, server: int, given: argparse.Namespace, environ: dict[str, str]
) -> Rows:
    """What one run of a system measures."""
    command = [*SYSTEMS[system][0], "-seconds", str(given.seconds), "-works", given.works]
    command += ["connect-go-tls"] if system == "connect-go" else ["-server", str(server)]
    done = subprocess.run([*command, str(folder), str(port)], env=environ, stdout=subprocess.PIPE, check=True)
    rows: Rows = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[row.pop("work"), row.pop("system")] = row
    return rows


def compare(folder: Path, given: argparse.Namespace) -> None:
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "gen"), os.environ.get("PYTHONPATH", "")])
    }
    rounds: list[Rows] = []
    with ExitStack() as running:
        ports: dict[str, tuple[int, int]] = {}
        servers: dict[str, int] = {}
        for system in given.systems.split(","):
            port, behind = ports[system] = (free_port(), free_port())
            servers[system] = running.enter_context(program([*SYSTEMS[system][1], folder, port], port, environ))
            delay = [sys.executable, HERE / "delay.py", behind, port, RTT]
            running.enter_context(program(delay, behind, environ))
        for number in range(given.rounds):
            rows: Rows = {}
            for index, at in enumerate(("", AT_RTT)):
                for system, both in ports.items():
                    print(f"round {number + 1} of {given.rounds}: {system}{at}", file=sys.stderr)
                    measured = measure(system, folder, both[index], servers[system], given, environ)
                    rows |= {(work + at, name): row for (work, name), row in measured.items()}
            rounds.append(rows)
    print(f"medians of {given.rounds} rounds of {given.seconds:g} s, over TLS with certificates at both ends\n")
    rows = medians(rounds)
    print(rows_table({key: rows[key] for key in sorted(rows, key=lambda key: (AT_RTT in key[0], key[0]))}))
    print("\nthe goals; a ratio is ours to theirs, taken in each round\n")
    print(goals_table(rounds, GOALS))


def storm(folder: Path) -> None:
    """Each in a process anew, since what a process has seen makes the next one faster."""
    said = subprocess.run([sys.executable, HERE / "storm.py", folder], check=True, capture_output=True, text=True)
    print(said.stdout, end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each measurement is made")
    parser.add_argument("--storms", type=int, default=3, help="how often the links of 200 plugins end")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each measurement takes")
    parser.add_argument("--works", default=",".join(WORKS), help="which works, separated by commas")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which systems, separated by commas")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, authority = Path(made), Authority.create("bench")
        for name in ("runtime", "plugin"):
            save(authority.issue(name, hosts=["127.0.0.1"]), authority.pem, folder / name)
        if given.rounds:
            compare(folder, given)
        for _ in range(given.storms):
            storm(folder)


if __name__ == "__main__":
    main()
