"""Stands for the command line of docker or podman: what it is told to run in a container it runs here.

It knows `run` and `rm --force`, keeps to what the real ones do with signals and exit statuses, and writes down what it
was asked. The mounted directory stays where it is; the socket's path in the launch configuration is put right instead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

VARIABLE = "PLUGMUX_PLUGIN_LAUNCH_CFG"
STATE = Path(__file__).parent


def main() -> int:
    command, *rest = sys.argv[1:]
    with (STATE / "asked").open("a") as file:
        file.write(json.dumps(sys.argv[1:]) + "\n")
    with (STATE / "environments").open("a") as file:
        file.write(json.dumps(dict(os.environ)) + "\n")
    return run(rest) if command == "run" else remove(rest[-1])


def run(words: list[str]) -> int:
    options: list[tuple[str, str]] = []
    while words[0].startswith("-"):
        name, _, value = words.pop(0).partition("=")
        options.append((name, value))
    image, *inside = words
    if image == "absent":
        print("docker: Error response from daemon: no such image: absent", file=sys.stderr)
        return 125
    given = dict(options)
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    for name, value in options:
        if name == "--env":
            variable, assigned, text = value.partition("=")
            environ[variable] = text if assigned else os.environ[variable]
    mount = dict(part.partition("=")[::2] for part in given["--mount"].split(","))
    environ[VARIABLE] = environ[VARIABLE].replace(mount["target"], mount["source"])
    process = subprocess.Popen(inside or [image], env=environ, cwd=given.get("--workdir"), start_new_session=True)
    (STATE / given["--name"]).write_text(str(process.pid))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda number, _: process.send_signal(number))
    code = process.wait()
    (STATE / given["--name"]).unlink(missing_ok=True)
    return code if code >= 0 else 128 - code


def remove(name: str) -> int:
    try:
        os.killpg(int((STATE / name).read_text()), signal.SIGKILL)
        (STATE / name).unlink(missing_ok=True)
    except (FileNotFoundError, ProcessLookupError):
        return 1
    print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
