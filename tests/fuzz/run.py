"""Run the fuzzers one after the other, each in a process of its own, and print how many inputs each has tried.

Exit status: 0, 1 where an input made a fuzzer fail or a fuzzer tried none.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOUND = ROOT / "build/fuzz"
NAMES = sorted(path.stem for path in (HERE / "targets").glob("*.py"))
PATHS = [HERE.parent, *(ROOT / folder for folder in ("tests/connect", "tests/connect/gen", "examples/gen/python"))]
MAX_INPUT = 4096
START_TIME = 600
"""Seconds that a fuzzer may take beyond its time: to be instrumented, and for its corpus."""
MEMORY = 2048
"""Mebibytes that a fuzzer may take."""
INPUT_TIME = 90
"""Seconds that one input may take."""

_COUNT = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def check_of(name: str) -> Callable[[bytes], None]:
    """The function of a fuzzer."""
    sys.path[:0] = [str(path) for path in PATHS if str(path) not in sys.path]
    check: Callable[[bytes], None] = importlib.import_module(f"fuzz.targets.{name}").check
    return check


def corpus_of(name: str) -> list[Path]:
    """The inputs of a fuzzer."""
    return sorted((HERE / "corpus" / name).iterdir())


def fuzz(name: str, seconds: int, seed: int) -> None:
    """Run one fuzzer in this process, which ends with it."""
    import atheris

    logging.getLogger("plugmux").addHandler(logging.NullHandler())
    logging.getLogger("plugmux").propagate = False
    logging.getLogger("plugmux.plugin").setLevel(logging.CRITICAL + 1)  # what plugins print
    with atheris.instrument_imports(include=["plugmux", "h11"]):
        check = check_of(name)
    found = FOUND / name
    (found / "corpus").mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds,
        "max_len": MAX_INPUT,
        "seed": seed,
        "timeout": INPUT_TIME,
        "rss_limit_mb": MEMORY,
        "print_final_stats": 1,
        "artifact_prefix": f"{found}/",
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    # What is found goes into the first directory; the corpus in the tree grows by hand alone.
    atheris.Setup([name, *arguments, str(found / "corpus"), str(HERE / "corpus" / name)], check)
    atheris.Fuzz()


def run(name: str, seconds: int, seed: int) -> bool:
    """Run one fuzzer in a process of its own and print its count; whether it held."""
    command = [sys.executable, __file__, "--seconds", str(seconds), "--seed", str(seed), "--here", name]
    ended = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=seconds + START_TIME, check=False
    )
    counted = _COUNT.search(ended.stderr)
    count = int(counted[1]) if counted else 0
    held = ended.returncode == 0 and count > 0
    print(f"{name:<16}{count:>12,} inputs  {'held' if held else 'FAILED'}", flush=True)
    if not held:
        print(ended.stdout + ended.stderr, file=sys.stderr, flush=True)
    return held


def main() -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(description="Run fuzzers.")
    parser.add_argument("names", metavar="NAME", nargs="*", default=NAMES, help=f"by default all: {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=int, default=60, help="for all of them together (60)")
    parser.add_argument("--seed", type=int, default=0, help="of what is tried; by default another one each time")
    parser.add_argument("--input", type=Path, help="check this one input, without atheris")
    parser.add_argument("--here", action="store_true", help="run the one fuzzer in this process")
    options = parser.parse_args()
    names = options.names or NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no fuzzer is named {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if options.input is not None:
        check_of(names[0])(options.input.read_bytes())
        return 0
    if options.here:
        fuzz(names[0], options.seconds, options.seed)
        return 0
    held = [run(name, max(1, options.seconds // len(names)), options.seed) for name in names]
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
