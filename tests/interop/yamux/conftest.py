from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

# `make interop` runs these as well: what they need is installed and built there, and they take minutes.
collect_ignore = [] if os.environ.get("PLUGMUX_INTEROP_PEERS") else ["test_others.py", "test_scenarios.py"]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go peer, built once."""
    target = tmp_path_factory.mktemp("yamux") / "peer"
    source = Path(__file__).parent / "peer"
    subprocess.run(
        ["go", "build", "-o", target, "."], cwd=source, check=True, env=os.environ | {"GOFLAGS": "-mod=readonly"}
    )
    return target
