"""Plugins in each language: protocol versions are negotiated, and plugins chosen by their versions."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Host, Installed, Launch, PluginCause, Policies, Runtime, Timeouts
from support.configured import configured_command
from support.tools import LANGUAGES

EU = {"kv": {"region": "eu"}}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_highest_common_protocol_version_is_seen_on_both_sides(language: str) -> None:
    launch = Launch(configured_command(language), name="kv", timeout=30)
    async with Runtime([launch], configuration=EU, host=Host(protocol_versions=[1, 2, 3])) as runtime:
        told = runtime.plugin("kv").registration
        assert told is not None
        assert told.protocol_version == 2
        assert (told.capabilities, dict(told.labels)) == (("greeting",), {"team": "a"})
        assert (await runtime.client(KeyValueClient).get(GetRequest())).value.endswith(b"protocol 2")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("versions", "upgrade"), [([3, 4], "plugin"), ([0x7FFFFFFF], "plugin")])
async def test_a_mismatch_names_both_sides_and_what_to_upgrade(
    language: str, versions: list[int], upgrade: str
) -> None:
    launch = Launch(configured_command(language), name="kv", timeout=30)
    async with Runtime([launch], configuration=EU, host=Host(protocol_versions=versions)) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.REFUSED
        spoken = ", ".join(map(str, versions))
        assert f"speaks protocol versions 1, 2, the host {spoken}: upgrade the {upgrade}" in str(error)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_version_that_fits_is_chosen_of_several_side_by_side(language: str, tmp_path: Path) -> None:
    for version in ("1.1.0", "1.2.0", "2.0.0"):
        folder = tmp_path / "kv" / version
        folder.mkdir(parents=True)
        (folder / "kv").write_text(f"#!/bin/sh\nexec {shlex.join(configured_command(language))}\n")
        (folder / "kv").chmod(0o755)
    async with Runtime(
        [Installed("kv@^1.1", path=[tmp_path])], configuration=EU, policies=Policies(timeouts=Timeouts(registration=30))
    ) as runtime:
        assert runtime.plugin("kv").error is None
        assert runtime.plugin("kv").version == "v1.2.0"
    async with Runtime(
        [Installed("kv@^2", path=[tmp_path])], configuration=EU, policies=Policies(timeouts=Timeouts(registration=30))
    ) as runtime:
        assert "it says that it is version 1.2.0, and was installed as 2.0.0" in str(runtime.plugin("kv").error)
