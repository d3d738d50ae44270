"""The command line calls a plugin of any language, whatever the kind of the method, without being told it."""

from __future__ import annotations

import asyncio
import shlex
import sys

import pytest

from support.probe import probe_command
from support.tools import LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_method_with_streams_both_ways_is_called_with_one_message(language: str) -> None:
    command = [sys.executable, "-m", "plugmux.cli", "call", "sum.v1.SumService/Running", '{"number": 2}']
    process = await asyncio.create_subprocess_exec(
        *command, "--plugin", shlex.join(probe_command(language)), stdout=-1, stderr=-1
    )
    stdout, stderr = await process.communicate()
    assert (stdout.strip(), process.returncode) == (b'{"sum":"2"}', 0), stderr.decode()
