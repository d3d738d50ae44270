"""`make bench-remote` measures plugmux and its peers over TLS, for an instant."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.tools import ROOT, go_build

BENCH = ROOT / "bench"


@pytest.mark.timeout(300)
def test_every_system_is_measured_on_loopback_and_at_a_round_trip() -> None:
    go_build("bench/peers", ".", "bench-peers")
    paths = [str(BENCH), str(BENCH / "gen"), os.environ["PYTHONPATH"]]
    arguments = ("--rounds", "1", "--seconds", "0.02", "--storms", "0", "--works", "unary-serial")
    done = subprocess.run(
        [sys.executable, str(BENCH / "remote.py"), *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "unary-serial" in line]
    measured = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines}
    systems = ("plugmux", "raw-tls", "grpc-aio", "connect-go")
    assert measured == {(f"unary-serial{at}", system) for at in ("", "@20ms") for system in systems}
