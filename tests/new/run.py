"""Run by `make kit`: makes the release that the tests install, runs them two at a time, and says how long that took.

One waits for registries while the other computes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "publish"))

from publish_check import release

KIT = Path(__file__).with_name("kit.py")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n2", "--dist=worksteal", "--durations=10", "--durations-min=5"]


def main() -> None:
    began = time.monotonic()
    with release() as (_, env):
        variables = {**os.environ, "PLUGMUX_KIT_ENVIRONMENT": json.dumps(env)}
        ran = subprocess.run([*PYTEST, str(KIT), *sys.argv[1:]], env=variables, check=False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{time.monotonic() - began:.0f} s, of which processors worked {used.ru_utime + used.ru_stime:.0f} s")
    raise SystemExit(ran.returncode)


if __name__ == "__main__":
    main()
