"""Attacks on the paths by which plugins are found and started: another user swaps a part of one, again and again."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from plugmux.discovery.directory import find_plugins
from plugmux.errors import PlugmuxError
from plugmux.runtime.logs.log import LogBook

from .interface import ATTACKER, Attack, Host

__all__ = ["ATTACKS"]

STARTS = 200

SWAP = """
    import os, sys
    ours, theirs, aside = sys.argv[1:]
    print("swapping", flush=True)
    while True:
        os.rename(ours, aside); os.rename(theirs, ours)
        os.rename(ours, theirs); os.rename(aside, ours)
"""
"""Puts what is the attacker's in the place of what is ours, and back."""


def _program(path: Path, command: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def _playground(host: Host) -> tuple[Path, Path]:
    """A directory of the attacker's, and the file that a foreign program writes when it runs."""
    owned = host.directory / "owned"
    owned.mkdir()
    os.chown(owned, ATTACKER, ATTACKER)
    return owned, host.directory / "ran"


async def _swapped_parent(host: Host) -> None:
    """The directory above the plugin directory is another user's, who swaps the plugin directory itself."""
    owned, ran = _playground(host)
    _program(owned / "plugins" / "kv", "exit 3")
    _program(owned / "theirs" / "kv", f"echo > {ran}")
    os.chown(owned / "theirs", ATTACKER, ATTACKER)
    os.chown(owned / "theirs" / "kv", ATTACKER, ATTACKER)
    await _start_while_swapped(host, owned / "plugins", owned / "plugins", owned / "theirs", ran)


async def _swapped_hop(host: Host) -> None:
    """A link of ours leads through a directory of another user's, who swaps the link in it."""
    owned, ran = _playground(host)
    _program(host.directory / "good" / "kv", "exit 3")
    _program(owned / "kv", f"echo > {ran}")
    os.chown(owned / "kv", ATTACKER, ATTACKER)
    (owned / "hop").symlink_to(host.directory / "good" / "kv")
    (owned / "bad-hop").symlink_to(owned / "kv")
    (host.directory / "plugins").mkdir()
    (host.directory / "plugins" / "kv").symlink_to(owned / "hop")
    await _start_while_swapped(host, host.directory / "plugins", owned / "hop", owned / "bad-hop", ran)


async def _start_while_swapped(host: Host, plugins: Path, ours: Path, theirs: Path, ran: Path) -> None:
    swapping = await host.program(SWAP, ours, theirs, f"{ours}-aside", stranger=True)
    assert swapping.stdout is not None
    assert await swapping.stdout.readline() == b"swapping\n", "the attacking program failed"
    for _ in range(STARTS):
        for found in find_plugins(plugins):
            assert found.launch.runner is not None
            with suppress(PlugmuxError):
                run = await found.launch.runner.start(found.launch, 5.0, LogBook().of("kv"))
                run.kill()
                await run.wait()
        assert not ran.exists(), "a program of another user was run"
        await asyncio.sleep(0)


ATTACKS = [
    Attack("another user swaps the plugin directory", _swapped_parent, needs_root=True),
    Attack("another user swaps a hop of a link", _swapped_hop, needs_root=True),
]
