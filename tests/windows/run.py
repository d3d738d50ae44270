"""Runs the tests in CPython for Windows under Wine, and prints how many ran and how many were left out, and why.

    python tests/windows/run.py [--table] [--jobs N] [PATH]...

Each part of the suite, a line of paths, has a process of its own. A test that takes too long ends its process and has
failed; another process goes on with the next. What is left out, and why, stands in `left-out.txt`; the number is the
difference between the tests that Linux has and those that ran. `--table` prints each row with its number of tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windows.selection import RESULTS, read, rows

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "tests/runtime/test_replace.py tests/runtime/test_routing.py",
    "tests/runtime/test_switching.py tests/runtime/test_restarts.py tests/runtime/test_breaker.py",
    "tests/faults",
    "tests/runtime/test_health.py tests/runtime/test_logs.py",
    "tests/runtime/test_runtime.py tests/runtime/test_objects.py tests/runtime/test_state.py "
    "tests/discovery/test_names.py",
    "tests/connect tests/services",
    "tests/windows/cases.py",
    "tests/yamux",
    "tests/http",
    "tests/interop/test_matrix.py",
    "tests/remote/test_links.py tests/remote/test_certificates.py tests/remote/test_hostile_port.py "
    "tests/remote/test_identity.py tests/remote/test_balance.py tests/remote/test_places.py "
    "tests/remote/test_proxy_header.py tests/remote/test_uvloop.py",
    "tests/plugin tests/link",
    "tests/platform/test_command_line.py tests/aio tests/contract",
)
"""What has been run there, the longest first. Of the other files nobody has looked at yet which tests Wine can show."""

TEST_TIME = 240
"""Seconds that one test may take, on a busy machine."""

TIME = 2400
"""Seconds that one part may take, on a busy machine."""

AT_ONCE = 4
"""Parts that run at the same time, unless told otherwise: each waits for the start of processes as a rule."""

OUTPUT_TIME = 5
"""Seconds for the last of the output of a part that has ended."""

IDLE = 60
"""Seconds that Wine's server waits for another program."""


@dataclass
class Outcome:
    """What became of the tests of one part."""

    part: str
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    broken: str = ""
    seconds: float = 0

    @property
    def ran(self) -> int:
        return len(self.passed | self.failed)

    def take(self, lines: list[dict[str, Any]]) -> list[int]:
        """Take what has been told so far, and return the statuses of the processes that ended in order."""
        told = {kind: {name for line in lines for name in line.get(kind, ())} for kind in ("began", "ended", "failed")}
        self.begun = len(told["began"])
        self.failed = told["failed"] | told["began"] - told["ended"]
        self.passed = {name for line in lines for name in line.get("passed", ())} - self.failed
        self.skipped = {name: why for line in lines for name, why in line.get("skipped", {}).items()}
        self.left_out = Counter()
        for pattern, count in (row for line in lines for row in line.get("left_out", {}).items()):
            self.left_out[pattern] = max(self.left_out[pattern], count)
        return [line["exit"] for line in lines if "exit" in line]


def main() -> int:
    """Set up, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print what each row leaves out")
    parser.add_argument("--jobs", type=int, default=AT_ONCE, help="how many parts run at the same time (%(default)s)")
    parser.add_argument("paths", nargs="*", help="what to run; by default all parts")
    options = parser.parse_args()
    began = time.monotonic()
    cache = Path(subprocess.check_output([ROOT / "tests/windows/setup.sh"], text=True).strip())
    build_programs()
    parts = options.paths or list(PARTS)
    there_are = collected(parts)
    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda numbered: run(numbered[1], numbered[0], cache), enumerate(parts)))
    left = Counter[str]()
    for outcome in outcomes:
        left.update(outcome.left_out)
        ran, there = outcome.ran, there_are[outcome.part]
        print(
            f"{outcome.part}: {ran} ran, {there - ran} left out, {len(outcome.failed)} failed, "
            f"in {outcome.seconds:.0f} s{outcome.broken}"
        )
    if options.table:
        for pattern, reason in rows().items():
            count = left[pattern] or ("the file" if pattern in left else 0)
            print(f"  {count}\t{pattern}: {reason}")
    for outcome in outcomes:
        for name, reason in outcome.skipped.items():
            print(f"  skipped by itself: {name}: {reason}")
        for name in sorted(outcome.failed):
            print(f"  failed: {name}")
    stale = sorted(rows().keys() - left.keys()) if not options.paths else []
    for pattern in stale:
        print(f"tests/windows/left-out.txt: no test answers to {pattern}")
    ran, failed = sum(outcome.ran for outcome in outcomes), sum(len(outcome.failed) for outcome in outcomes)
    print(
        f"CPython for Windows under Wine: {ran} tests ran, {sum(there_are.values()) - ran} were left out "
        f"(tests/windows/left-out.txt), {failed} failed, in {time.monotonic() - began:.0f} s"
    )
    return 1 if failed or stale or any(outcome.broken for outcome in outcomes) else 0


def build_programs() -> None:
    """Build the Go programs of the matrix for Windows, and what Node.js runs."""
    environ = {**os.environ, "GOOS": "windows", "GOARCH": "amd64"}
    target = ROOT / "bin/windows"
    target.mkdir(parents=True, exist_ok=True)
    for module, package, name in ((".", "./examples/go-plugin", "go-plugin"), ("tests/interop/go", ".", "go-host")):
        program = str(target / f"{name}.exe")
        subprocess.run(["go", "-C", module, "build", "-o", program, package], cwd=ROOT, env=environ, check=True)


def collected(parts: list[str]) -> dict[str, int]:
    """How many tests each part has on this system; a part that is for Windows alone has as many as it runs."""
    paths = [path for part in parts for path in part.split()]
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *paths]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    found = {
        part: sum(line.startswith(tuple(part.split())) and "::" in line for line in said.splitlines()) for part in parts
    }
    if not all(found.values()):
        raise SystemExit(f"no tests can be collected of some part:\n{said[-2000:]}")
    return found


def run(part: str, number: int, cache: Path) -> Outcome:
    """Run one part under Wine, with files of its own."""
    drive = cache / "prefix/drive_c"
    results = drive / f"results{number}.jsonl"
    results.unlink(missing_ok=True)
    shutil.rmtree(drive / f"t{number}", ignore_errors=True)
    outcome = run_to_the_end(part, results, lambda seconds: run_once(part, number, cache, seconds))
    print(f"{part}: ended: {outcome.ran} ran, {len(outcome.failed)} failed{outcome.broken}", flush=True)
    return outcome


def run_to_the_end(part: str, results: Path, run_rest: Callable[[float], bytes], limit: float = TIME) -> Outcome:
    """Run a part by as many processes as it takes to get past the tests that end one.

    Args:
        part: its name.
        results: the file that `windows.selection` writes.
        run_rest: runs what has not begun yet for so many seconds at most, and returns the output.
        limit: seconds that all of these may take together.
    """
    outcome, began, begun = Outcome(part), time.monotonic(), 0
    while True:
        said = run_rest(max(0, limit - (time.monotonic() - began)))
        lines = read(results)
        outcome.seconds = time.monotonic() - began
        exits = outcome.take(lines)
        if outcome.seconds >= limit:
            outcome.broken = f", did not come to an end within {limit:g} s"
        elif exits:
            outcome.broken = "" if exits[-1] in (0, 1, 5) else f", pytest ended with status {exits[-1]}"
        elif outcome.begun == begun:
            outcome.broken = ", did not come to an end"
        if not exits or outcome.failed or outcome.broken:
            print(said.decode("utf-8", "replace")[-12_000:], flush=True)
        if exits or outcome.broken:
            return outcome
        begun = outcome.begun


def run_once(part: str, number: int, cache: Path, seconds: float) -> bytes:
    """Run what has not begun yet of a part under Wine, and return its output."""
    null = subprocess.DEVNULL
    here, there = windows_path(ROOT), windows_path(cache)
    environ = {
        **{name: os.environ[name] for name in ("HOME", "PATH", "USER", "LANG") if name in os.environ},
        "WINEPREFIX": str(cache / "prefix"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",
        "PYTHONUTF8": "1",
        "PYTHONPATH": rf"{here}\py;{here}\gen\python;{here}\examples\gen\python;{there}\site",
        "PLUGMUX_PREBUILT": "1",
        "PLUGMUX_NODE": rf"{there}\node\node.exe",
        RESULTS: rf"C:\results{number}.jsonl",
    }
    command = ["wine", str(cache / "python/python.exe"), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "windows.selection", f"--timeout={TEST_TIME}", f"--basetemp=C:\\t{number}", "--tb=short"]
    # It outlives its programs for a while: each part finds it there, and no part's output is its own.
    subprocess.run(["wineserver", f"-p{IDLE}"], env=environ, stdin=null, stdout=null, stderr=null, check=False)
    with subprocess.Popen(
        [*command, *part.split()], cwd=ROOT, env=environ, stdin=null, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        # Through a pipe: Wine's console gives other programs than Windows' a terminal. Wine's services, which the first
        # program starts, hold it open: so the end of the program counts, not that of its output.
        assert process.stdout is not None
        pieces: list[bytes] = []
        reader = threading.Thread(target=read_all, args=(os.dup(process.stdout.fileno()), pieces), daemon=True)
        reader.start()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            pieces.append(b"\nit has not ended in time")
        reader.join(OUTPUT_TIME)
    return b"".join(pieces)


def read_all(descriptor: int, pieces: list[bytes]) -> None:
    """Take what comes out of a pipe until nobody holds its other end."""
    with open(descriptor, "rb", 0) as output:
        while piece := output.read(65536):
            pieces.append(piece)


def windows_path(path: Path) -> str:
    """The path under which Wine shows a file of Linux."""
    return "Z:" + str(path).replace("/", "\\")


if __name__ == "__main__":
    sys.exit(main())
