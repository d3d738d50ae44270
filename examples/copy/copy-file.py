#!/usr/bin/env python3
"""A host that copies a file through a raw stream of a plugin, and compares checksums.

copy-file.py [--size BYTES] COMMAND...     make a file, of 1 GiB by default, and copy it by the plugin of a command
"""

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from pathlib import Path

from plugmux import Launch, Runtime

GIB = 1024**3
CHUNK = 1024 * 1024


async def copy(source: Path, target: Path, command: list[str]) -> str:
    """Copy a file; returns its SHA-256, which both ends have computed."""
    digest = hashlib.sha256()
    async with Runtime([Launch(command, name="copy")]) as runtime:
        plugin = runtime.plugin("copy")
        if plugin.error is not None:
            raise plugin.error
        assert plugin.link is not None
        reader, writer = await plugin.link.open_stream("copy")
        writer.write(f"{target}\n".encode())
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                writer.write(chunk)
                await writer.drain()
        writer.write_eof()
        theirs = (await reader.read()).decode()
        writer.close()
    if theirs != digest.hexdigest():
        raise SystemExit(f"{target} is not {source}: its SHA-256 is {theirs}, not {digest.hexdigest()}")
    return theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=GIB, help="bytes of the file that is made and copied")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="starts the plugin")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        with source.open("wb") as file:
            for at in range(0, given.size, CHUNK):
                file.write(os.urandom(min(CHUNK, given.size - at)))
        began = time.perf_counter()
        digest = asyncio.run(copy(source, target, given.command))
        took = time.perf_counter() - began
        assert target.stat().st_size == given.size
        print(f"copied {given.size} bytes in {took:.1f} s ({given.size / took / 1024**2:.0f} MiB/s), SHA-256 {digest}")


if __name__ == "__main__":
    main()
