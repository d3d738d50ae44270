"""One of two replicas is killed again and again, under load: no call that may be made again fails."""

from __future__ import annotations

import asyncio

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Runtime
from plugmux.runtime import State
from support.resources import ProcessResources, end_at_once
from support.scale import scaled
from support.tools import faulty_plugin
from support.ward import AT_ONCE, LANGUAGES

KILLS = scaled({"python": 5, "go": 30, "ts": 5}, {"python": 2, "go": 8, "ts": 2})
CALLERS = 64
PACE = 0.1
"""Seconds between two calls of a caller while there is nobody to kill."""


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_idempotent_call_fails_while_a_replica_is_killed_in_a_loop(language: str) -> None:
    before = ProcessResources.take()
    launch = Launch(faulty_plugin(language), name="faulty", restart=AT_ONCE, replicas=2, timeout=60)
    async with Runtime([launch]) as runtime:
        victim, survivor = runtime.plugins()
        answered: set[str] = set()
        over = asyncio.Event()

        async def call() -> None:
            kv = runtime.client(KeyValueClient)
            while not over.is_set():
                answered.add((await kv.get(GetRequest(key="pid"), timeout=20)).value.decode())
                if victim.state is not State.RUNNING:  # The load is for the kill: leave the start its time.
                    await asyncio.sleep(PACE)

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(call())
            for _ in range(KILLS[language]):
                while str(victim.pid) not in answered or not victim.in_flight:
                    await asyncio.sleep(0.001)
                assert victim.pid is not None
                end_at_once(victim.pid)
                while victim.state is State.RUNNING:
                    await victim.changed()
            over.set()
        assert len(answered - {str(survivor.pid)}) >= KILLS[language]
        assert survivor.restarts == 0
    assert ProcessResources.take() == before
