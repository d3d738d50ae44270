"""Any bytes as a plugin's manifest: a manifest or `BadManifest`."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from plugmux.discovery.manifest import BadManifest, Manifest

FOLDER = Path(tempfile.mkdtemp(prefix="plugmux-fuzz-"))
FOLDER.joinpath("kv").write_bytes(b"")
FOLDER.joinpath("kv").chmod(0o755)


def check(data: bytes) -> None:
    """The manifest stands beside an executable file `kv`."""
    path = FOLDER / "kv.plugmux.toml"
    path.write_bytes(data)
    with suppress(BadManifest):
        assert Manifest.read(path, "kv").name
