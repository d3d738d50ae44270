"""Plugins that print or log as fast as they can."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plugmux import Launch
from support.programs import KV_PLUGIN, script

from .interface import MIB, Attack, Host

REPORTS = 4
"""Lines that tell of dropped ones, one a second, until the attack has lasted long enough."""

LOOPS = {
    "empty lines": "data = b'\\\\n' * 65536\nwhile True: os.write(2, data)",
    "lines of JSON": """data = b'{"level":"error","msg":"x","a":' + b'[' * 976 + b']' * 976 + b'}\\\\n'
while True: os.write(1, data * 30)""",
}
FLOOD = """
import os, threading, time
def flood():
    time.sleep(1)  # It registers first.
    exec(LOOP)
threading.Thread(target=flood, daemon=True).start()
"""


async def print_on(host: Host) -> None:
    """A plugin that works otherwise prints without an end."""
    told = 0
    async for entry in host.runtime.follow_logs("flooder"):
        told += "were dropped" in entry.message
        if told == REPORTS:
            return


def printing(loop: str) -> Callable[[Path], Mapping[str, Any]]:
    def options(directory: Path) -> Mapping[str, Any]:
        program = f'LOOP = """{loop}"""\n{FLOOD}'
        return {"plugins": [Launch([script(directory, "flooder", program + textwrap.dedent(KV_PLUGIN))])]}

    return options


ATTACKS = [
    Attack(f"flood of {name}", print_on, memory=32 * MIB, latency=0.5, options=printing(loop))
    for name, loop in LOOPS.items()
]
