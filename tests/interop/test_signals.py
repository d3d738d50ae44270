"""Ctrl-C at a terminal that host and plugins share: it reaches all of them, and the host decides."""

from __future__ import annotations

import os
import signal

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import PutRequest

from plugmux import Launch, Policies, RestartPolicy, Runtime, Timeouts
from plugmux.runtime import State
from support.tools import LANGUAGES, example_plugin


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_on_the_hosts_terminal_leaves_an_interrupt_to_the_host(language: str) -> None:
    launch = Launch(example_plugin(language), name="kv", stdio="inherit", timeout=30)
    async with Runtime([launch]) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        assert os.getpgid(plugin.pid) == os.getpgrp()
        kv = runtime.client(KeyValueClient)
        for _ in range(3):
            os.kill(plugin.pid, signal.SIGINT)
            await kv.put(PutRequest(key="a", value=b"1"))
        assert (plugin.state, plugin.restarts) == (State.RUNNING, 0)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_with_a_group_of_its_own_is_not_reached_and_ends_when_it_is(language: str) -> None:
    launch = Launch(example_plugin(language), name="kv", restart=RestartPolicy(tries=0))
    async with Runtime([launch], policies=Policies(timeouts=Timeouts(post_mortem=60))) as runtime:
        plugin = runtime.plugin("kv")
        assert plugin.pid is not None
        assert os.getpgid(plugin.pid) == plugin.pid
        os.kill(plugin.pid, signal.SIGINT)
        while plugin.state is not State.GAVE_UP:
            await plugin.changed()
        assert plugin.error is not None
        assert plugin.error.exit_code == 0
