"""Runs the tests in CPython for Windows under Wine, and prints how many ran and how many were left out, and why.

    python tests/windows/run.py [--table] [PATH]...

Each part of the suite, a line of paths, has a process of its own. What is left out, and why, stands in `left-out.txt`;
the number is the difference between the tests that Linux has and those that ran. `--table` prints each row with its
number of tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from windows.selection import RESULTS, rows

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "tests/connect tests/services",
    "tests/faults",
    "tests/runtime/test_switching.py tests/runtime/test_restarts.py tests/runtime/test_breaker.py "
    "tests/runtime/test_replace.py tests/runtime/test_routing.py",
    "tests/runtime/test_runtime.py tests/runtime/test_objects.py tests/runtime/test_state.py "
    "tests/discovery/test_names.py tests/runtime/test_health.py tests/runtime/test_logs.py",
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

TIME = 3600
"""Seconds that one part may take, on a busy machine."""

AT_ONCE = 2
"""Parts that run at the same time: each waits for the start of processes as a rule."""

OUTPUT_TIME = 5
"""Seconds for the last of the output of a part that has ended."""

IDLE = 60
"""Seconds that Wine's server waits for another program."""


def main() -> int:
    """Set up, run, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print what each row leaves out")
    parser.add_argument("paths", nargs="*", help="what to run; by default all parts")
    options = parser.parse_args()
    began = time.monotonic()
    cache = Path(subprocess.check_output([ROOT / "tests/windows/setup.sh"], text=True).strip())
    build_programs()
    parts = options.paths or list(PARTS)
    there_are = collected(parts)
    total, left, used = Counter[str](), Counter[str](), set[str]()
    skipped: dict[str, str] = {}
    failed = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda numbered: run(numbered[1], numbered[0], cache), enumerate(parts)))
    for part, told in zip(parts, results, strict=True):
        if told is None or told["failed"] or told["exit"] not in (0, 5):
            failed.append(part)
        if told is None:
            continue
        ran = told["passed"] + told["failed"]
        print(f"{part}: {ran} of {there_are[part]} ran, {told['failed']} failed, in {told['seconds']:.0f} s")
        total.update(ran=ran, there=there_are[part], failed=told["failed"])
        left.update(told["left_out"])
        used.update(told["used"])
        skipped |= told["skipped"]
    if options.table:
        for pattern, reason in rows().items():
            count = left[pattern] or ("the file" if pattern in used else 0)
            print(f"  {count}\t{pattern}: {reason}")
    for name, reason in skipped.items():
        print(f"  skipped by itself: {name}: {reason}")
    stale = sorted(rows().keys() - used) if not options.paths else []
    for pattern in stale:
        print(f"tests/windows/left-out.txt: no test answers to {pattern}")
    print(
        f"CPython for Windows under Wine: {total['ran']} tests ran, {total['there'] - total['ran']} were left out "
        f"(tests/windows/left-out.txt), {total['failed']} failed, in {time.monotonic() - began:.0f} s"
    )
    if failed:
        print("failed: " + ", ".join(failed))
    return 1 if failed or stale else 0


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


def run(part: str, number: int, cache: Path) -> dict[str, Any] | None:
    """Run one part under Wine, with files of its own; `None` if it did not come to an end."""
    drive = cache / "prefix/drive_c"
    results, base = drive / f"results{number}.json", drive / f"t{number}"
    results.unlink(missing_ok=True)
    shutil.rmtree(base, ignore_errors=True)
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
        RESULTS: rf"C:\results{number}.json",
    }
    command = ["wine", str(cache / "python/python.exe"), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "windows.selection", "--timeout=300", f"--basetemp=C:\\t{number}", "--tb=short", *part.split()]
    began = time.monotonic()
    # It outlives its programs for a while: each part finds it there, and no part's output is its own.
    subprocess.run(["wineserver", f"-p{IDLE}"], env=environ, stdin=null, stdout=null, stderr=null, check=False)
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdin=null, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        # Through a pipe: Wine's console gives other programs than Windows' a terminal. Wine's services, which the first
        # program starts, hold it open: so the end of the program counts, not that of its output.
        assert process.stdout is not None
        pieces: list[bytes] = []
        reader = threading.Thread(target=read_all, args=(os.dup(process.stdout.fileno()), pieces), daemon=True)
        reader.start()
        try:
            process.wait(timeout=TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            pieces.append(b"\nit has not ended in time")
        reader.join(OUTPUT_TIME)
        said = b"".join(pieces)
    told: dict[str, Any] | None = json.loads(results.read_text("utf-8")) if results.exists() else None
    if told is None or told["failed"] or told["exit"] not in (0, 5):
        print(said.decode("utf-8", "replace")[-12_000:], flush=True)
        print(f"{part}: failed" if told else f"{part}: did not come to an end", flush=True)
    print(f"{part}: ended", flush=True)
    return told and {**told, "seconds": time.monotonic() - began}


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
