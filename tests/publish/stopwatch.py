"""Run by `make stopwatch`: from an empty folder to the first answered call, by the commands that one types.

It uses what `make dist` has built, as a registry would give it, and the caches of pip, npm and Go. The one file that a
user edits is edited, so that the answer is the user's own. It prints the table of README.md.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dist import DIST
from publish_check import environment, run
from registry import registry

SETUP = ["python3 -m venv .venv && . .venv/bin/activate", "pip install 'plugmux[new]'"]
CALL = """plugmux call hello.v1.HelloService/Greet '{"name": "world"}' --plugin """
LANGUAGES = {
    "python": ("src/hello/plugin.py", ["pip install --editable ./hello"], "hello"),
    "go": ("main.go", ["make -C hello build"], "hello/bin/hello"),
    "ts": ("src/routes.ts", ["make -C hello build"], "hello/dist/src/hello.js"),
}


def measure(language: str, folder: Path, env: dict[str, str]) -> tuple[int, float, float]:
    """How many commands one types, and their seconds of time and of processor."""
    edited, build, plugin = LANGUAGES[language]
    commands = [*SETUP, f"plugmux new hello --lang {language}", *build, CALL + plugin]
    began, used = time.monotonic(), cpu()
    answer = ""
    for number, command in enumerate(commands):
        activate = "" if number == 0 else ". .venv/bin/activate && "
        ran = subprocess.run(["bash", "-c", activate + command], cwd=folder, env=env, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(f"{command}: {ran.stdout}{ran.stderr}")
        answer = ran.stdout
        if command.startswith("plugmux new"):
            file = folder / "hello" / edited
            file.write_text(file.read_text().replace("Hello, ", "Welcome, "))
    assert json.loads(answer.splitlines()[-1]) == {"text": "Welcome, world!"}, answer
    return len(commands), time.monotonic() - began, cpu() - used


def cpu() -> float:
    """Seconds of processor that the commands so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    rows = []
    (package,) = DIST.glob("*.tgz")
    with tempfile.TemporaryDirectory(prefix="plugmux-stopwatch-") as made:
        upstream = run(Path(made), os.environ, "npm", "config", "get", "registry").strip()
        with registry(package, upstream) as npm:
            for language in sys.argv[1:] or LANGUAGES:
                folder = Path(made) / language
                folder.mkdir()
                count, seconds, processor = measure(language, folder, environment(folder, npm))
                rows.append(f"| {language} | {count} | 1 | {seconds:.0f} s | {processor:.0f} s |")
    print("| language | commands | files edited | time | processor time |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    load = os.getloadavg()[0]
    print(f"\n{datetime.now(UTC):%B %d, %Y}, {platform.machine()}, {os.cpu_count()} processors, load {load:.0f}")


if __name__ == "__main__":
    main()
