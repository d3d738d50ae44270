"""Makes every attack of this folder, each on a host process of its own, and prints a table of what came of them.

    python tests/attacks/run.py                 all of them
    python tests/attacks/run.py sockets paths   those of some modules, or with some word in their name
    python tests/attacks/run.py --list          their names

The exit status is 1 where an attack has succeeded. One that needs root is not made by another user, and is listed so.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMPORTED_FROM = [str(HERE.parent), str(ROOT / "examples/gen/python"), str(ROOT / "tests/interop/gen/python")]
sys.path[:0] = IMPORTED_FROM

from attacks.interface import MIB, Attack, Outcome, make_attack  # noqa: E402 -- found through the line above

NO_ATTACKS = {"__init__", "interface", "run"}
MAX_HOST_MEMORY = 3 << 30
"""Bytes that a host may have in use: an attack must not take the machine with it."""

TRIES = 3
"""How often an attack is made that only makes calls late. Other work on the machine does that once, not each time."""

LOOK = 0.2
"""Seconds between two looks at how much it has."""

START_TIME = 60.0
"""Seconds that a host and its honest plugin may take to come up and to go, besides the attack itself."""


def modules() -> list[str]:
    """The names of the modules of attacks: every file of this folder that is neither the runner's nor a test."""
    names = (path.stem for path in sorted(HERE.glob("*.py")))
    return [name for name in names if name not in NO_ATTACKS and not name.startswith("test_")]


def attacks(words: Sequence[str]) -> Iterator[tuple[str, Attack]]:
    """The attacks of which the module is one of the words, or the name holds one; all where there are no words."""
    for module in modules():
        for attack in importlib.import_module(f"attacks.{module}").ATTACKS:
            if not words or module in words or any(word in attack.name for word in words):
                yield module, attack


def outcome_of(module: str, attack: Attack) -> Outcome:
    """Make one attack on a host process of its own."""
    command = [sys.executable, __file__, "--one", module, attack.name]
    path = os.pathsep.join([*IMPORTED_FROM, *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as host:
        ended = time.monotonic() + attack.seconds + START_TIME
        while True:
            try:
                said, errors = host.communicate(timeout=LOOK)
                break
            except subprocess.TimeoutExpired:
                if fault := _out_of_hand(host.pid, ended):
                    host.kill()
                    return Outcome(fault=fault)
    try:
        return Outcome(**json.loads(said))
    except (TypeError, ValueError):
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        return Outcome(fault=f"the host ended with status {host.returncode}: {last}")


def repeated_outcome_of(module: str, attack: Attack) -> Outcome:
    """Make an attack, and make it again where all it has achieved is a late call; what came of the last time."""
    for _ in range(TRIES):
        outcome = outcome_of(module, attack)
        if not outcome.late:
            break
    return outcome


def _out_of_hand(pid: int, end: float) -> str:
    """Why a host must be ended by force; empty where it need not be."""
    if time.monotonic() > end:
        return "the host hangs"
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    if pages * resource.getpagesize() > MAX_HOST_MEMORY:
        return f"the host has over {MAX_HOST_MEMORY / MIB:.0f} MiB"
    return ""


def one(module: str, name: str) -> None:
    """Make one attack in this process, and print its outcome as JSON."""
    (attack,) = (attack for of, attack in attacks([module]) if (of, attack.name) == (module, name))
    with tempfile.TemporaryDirectory(prefix="plugmux-attack-") as directory:
        os.chmod(directory, 0o755)
        outcome = asyncio.run(make_attack(attack, Path(directory)))
    print(outcome.to_json())


def main() -> int:
    """Make the attacks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="modules, or words in the names of attacks")
    parser.add_argument("--list", action="store_true", help="print the names alone")
    parser.add_argument("--one", nargs=2, metavar=("MODULE", "NAME"), help="make one attack in this process")
    options = parser.parse_args()
    if options.one:
        one(*options.one)
        return 0
    chosen = list(attacks(options.words))
    if not chosen:
        parser.error(f"no attack is called so; there are modules {', '.join(modules())}")
    if options.list:
        print("\n".join(f"{module}: {attack.name}" for module, attack in chosen))
        return 0
    return table(chosen)


def table(chosen: Sequence[tuple[str, Attack]]) -> int:
    """Make attacks one after the other, and print a line for each; the exit status."""
    width = max(len(f"{module}: {attack.name}") for module, attack in chosen)
    print(f"{'attack':{width}}  largest memory   worst latency  verdict")
    left_out = failed = 0
    for module, attack in chosen:
        print(f"{f'{module}: {attack.name}':{width}}", end="  ", flush=True)
        if attack.needs_root and os.geteuid() != 0:
            left_out += 1
            print(f"{'-':>14}  {'-':>14}  NOT MADE: it needs root, to act as another user")
            continue
        came = repeated_outcome_of(module, attack)
        failed += bool(came.fault)
        verdict = f"FAILED: {came.fault}" if came.fault else "held"
        print(f"{came.memory / MIB:10.0f} MiB  {came.latency * 1000:11.0f} ms  {verdict}", flush=True)
    print(f"{len(chosen) - left_out - failed} held, {failed} failed, {left_out} not made for want of root")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
