"""Which replica a call goes to, when it is made again, and when it is kept from a plugin; with real plugins."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest, WatchRequest

from plugmux import BreakerPolicy, Launch, Permissions, Policies, RestartPolicy, RetryPolicy, Runtime, Timeouts
from plugmux.connect import Code, RpcError, RpcLimits
from plugmux.http import SocketClient
from plugmux.runtime import PluginHandle, State
from plugmux.runtime.calls.breaker import Circuit
from support.programs import KV_PLUGIN, kv_program, script
from support.resources import end_at_once, hold
from support.tools import ON_WINDOWS, local_address

NO_RETRY = RetryPolicy(attempts=1)
PUT = "/kv.v1.KeyValueService/Put"


async def fail(kv: KeyValueClient, count: int) -> None:
    await kv.put(PutRequest(key="failures", value=str(count).encode()))


async def pid_of(kv: KeyValueClient) -> int:
    return int((await kv.get(GetRequest(key="pid"))).value)


# -- replicas ---------------------------------------------------------------------------------------------------------


async def test_the_replica_with_the_fewest_calls_in_flight_is_called(tmp_path: Path) -> None:
    async with Runtime([Launch([kv_program(tmp_path)], replicas=3)]) as runtime:
        kv, replicas = runtime.client(KeyValueClient), runtime.plugins()
        hanging = [asyncio.ensure_future(kv.get(GetRequest(key="hang"))) for _ in range(5)]
        while sum(replica.in_flight for replica in replicas) < 5:
            await asyncio.sleep(0.005)
        assert sorted(replica.in_flight for replica in replicas) == [1, 2, 2]
        idle = min(replicas, key=lambda replica: replica.in_flight)
        assert {await pid_of(kv) for _ in range(3)} == {idle.pid}
        for call in hanging:
            call.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_calls_go_on_while_one_replica_is_killed_again_and_again(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], replicas=2, restart=RestartPolicy(delay=0.01, tries=100))
    async with Runtime([launch]) as runtime:
        kv, (victim, _) = runtime.client(KeyValueClient), runtime.plugins()
        over = asyncio.Event()

        async def load() -> None:
            while not over.is_set():
                await kv.get(GetRequest(key="pid"), timeout=120)

        loads = [asyncio.ensure_future(load()) for _ in range(4)]
        for _ in range(3):
            assert victim.pid is not None
            end_at_once(victim.pid)
            await victim.changed()
            while victim.state is not State.RUNNING:
                await victim.changed()
        over.set()
        await asyncio.gather(*loads)
        assert victim.restarts == 3


async def test_a_call_that_may_have_done_something_is_not_made_again_elsewhere(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], replicas=2)
    async with Runtime([launch]) as runtime:
        with pytest.raises(RpcError) as caught:
            await runtime.client(KeyValueClient).put(PutRequest(key="exit"))
        assert caught.value.code is Code.UNAVAILABLE
        assert sum(replica.state is State.RUNNING for replica in runtime.plugins()) == 1


@asynccontextmanager
async def self_started(program: str, address: str, count: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    environ = {**os.environ, "PLUGMUX_SOCKET": address}
    command = [sys.executable, program] if ON_WINDOWS else [program]
    processes = [
        await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.PIPE)
        for _ in range(count)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


@pytest.mark.parametrize(
    ("asks", "allowed", "refusal"),
    [(True, True, b""), (True, False, b"does not allow replicas"), (False, True, b"give this one another name")],
)
async def test_self_started_replicas_come_in_where_both_sides_want_it(
    tmp_path: Path, asks: bool, allowed: bool, refusal: bytes
) -> None:
    address = local_address(tmp_path)
    program = script(tmp_path, "kv", KV_PLUGIN, traits={"replica": asks})
    async with (
        Runtime(listen=[address], permissions=Permissions(replicated=["kv"] if allowed else [])) as runtime,
        self_started(program, address, 2) as processes,
    ):
        if refusal:
            ended, _ = await asyncio.wait(
                [asyncio.ensure_future(process.wait()) for process in processes], return_when=asyncio.FIRST_COMPLETED
            )
            assert len(ended) == 1
            (refused,) = [process for process in processes if process.returncode is not None]
            assert refused.stderr is not None
            assert refusal in await refused.stderr.read()
            return
        while len(runtime.plugins()) < 2 or not all(plugin.ready for plugin in runtime.plugins()):
            await asyncio.sleep(0.01)
        assert {plugin.pid for plugin in runtime.plugins()} == {process.pid for process in processes}


# -- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "failures", "answered"),
    [
        (RetryPolicy(attempts=3), 2, True),
        (RetryPolicy(attempts=3), 3, False),
        (NO_RETRY, 1, False),
        (RetryPolicy(attempts=3, budget=0), 1, False),
        (RetryPolicy(attempts=10, budget=2, earned=0), 2, True),
        (RetryPolicy(attempts=10, budget=2, earned=0), 3, False),
    ],
)
async def test_a_call_without_side_effects_is_made_again_within_attempts_and_budget(
    tmp_path: Path, retry: RetryPolicy, failures: int, answered: bool
) -> None:
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=retry)) as runtime:
        kv = runtime.client(KeyValueClient)
        await fail(kv, failures)
        if answered:
            await pid_of(kv)
        else:
            with pytest.raises(RpcError, match="not now"):
                await pid_of(kv)


@pytest.mark.parametrize(("policy", "again"), [(RetryPolicy(), False), (RetryPolicy(idempotent=True), True)])
async def test_a_method_has_a_policy_of_its_own(tmp_path: Path, policy: RetryPolicy, again: bool) -> None:
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=NO_RETRY, methods={PUT: policy})) as runtime:
        kv = runtime.client(KeyValueClient)
        await fail(kv, 1)
        if again:
            await kv.put(PutRequest(key="a"))
            await fail(kv, 1)
        else:
            with pytest.raises(RpcError, match="not now"):
                await kv.put(PutRequest(key="a"))
            await fail(kv, 1)
        with pytest.raises(RpcError, match="not now"):
            await pid_of(kv)


async def test_no_retry_outlasts_the_deadline(tmp_path: Path) -> None:
    retry = RetryPolicy(attempts=5, delay=60, longest_delay=60)
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=retry)) as runtime:
        kv = runtime.client(KeyValueClient)
        await fail(kv, 1)
        with pytest.raises(RpcError) as caught:
            await kv.get(GetRequest(key="pid"), timeout=0.2)
        assert caught.value.code is Code.DEADLINE_EXCEEDED


async def test_a_call_that_came_over_the_socket_is_made_again_as_the_hosts_own_is(tmp_path: Path) -> None:
    address = local_address(tmp_path)
    methods = {PUT: RetryPolicy(idempotent=True)}
    async with Runtime([kv_program(tmp_path)], listen=[address], policies=Policies(methods=methods)) as runtime:
        own, kv = runtime.client(KeyValueClient), KeyValueClient(SocketClient(address))
        await fail(own, 2)
        await kv.put(PutRequest(key="a"))
        await fail(own, 1)
        with pytest.raises(RpcError, match="not now"):  # It has no policy, and the method's name does not tell.
            await kv.get(GetRequest(key="pid"))


async def test_a_call_that_came_over_the_socket_and_fails_counts_as_the_hosts_own_does(tmp_path: Path) -> None:
    address = local_address(tmp_path)
    breaker = BreakerPolicy(failures=1, open_time=60)
    async with Runtime([kv_program(tmp_path)], listen=[address], policies=Policies(breaker=breaker)) as runtime:
        own, kv = runtime.client(KeyValueClient), KeyValueClient(SocketClient(address))
        await fail(own, 1)
        with pytest.raises(RpcError, match="not now"):
            await kv.put(PutRequest(key="a"))
        assert runtime.plugin("kv").circuit is Circuit.OPEN


@pytest.mark.parametrize("timeout", [None, 60.0])
@pytest.mark.parametrize("over_socket", [False, True])
async def test_no_call_takes_longer_than_the_runtime_allows(
    tmp_path: Path, over_socket: bool, timeout: float | None
) -> None:
    address = local_address(tmp_path)
    async with Runtime(
        [kv_program(tmp_path)], listen=[address], policies=Policies(timeouts=Timeouts(request=0.3))
    ) as runtime:
        kv = KeyValueClient(SocketClient(address)) if over_socket else runtime.client(KeyValueClient)
        with pytest.raises(RpcError, match=r"0.3 s that the runtime allows \(Timeouts.request\)") as caught:
            await kv.get(GetRequest(key="hang"), timeout=timeout)
        assert caught.value.code is Code.DEADLINE_EXCEEDED


def test_a_request_timeout_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Timeouts.request is -1;"):
        Runtime(policies=Policies(timeouts=Timeouts(request=-1)))


# -- the circuit breaker ----------------------------------------------------------------------------------------------


async def circuit_is(plugin: PluginHandle, kv: KeyValueClient, circuit: Circuit) -> None:
    """Call until the circuit is so; calls that are refused do not count."""
    while plugin.circuit is not circuit:
        with suppress(RpcError):
            await pid_of(kv)
        await asyncio.sleep(0.01)


async def test_a_plugin_that_fails_every_call_is_left_alone_tried_and_taken_back(tmp_path: Path) -> None:
    breaker = BreakerPolicy(failures=3, open_time=0.2)
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=NO_RETRY, breaker=breaker)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        await fail(kv, 4)
        for _ in range(3):
            with pytest.raises(RpcError, match="not now"):
                await pid_of(kv)
        assert plugin.circuit is Circuit.OPEN
        with pytest.raises(RpcError, match="its circuit is open") as caught:
            await pid_of(kv)
        assert caught.value.code is Code.UNAVAILABLE
        await circuit_is(plugin, kv, Circuit.CLOSED)
        # Three failures, the trial that failed, the one that did not, and this call: nothing else has got through.
        assert int((await kv.get(GetRequest(key="calls"))).value) == 6


async def test_a_trial_that_hangs_does_not_keep_all_other_calls_out(tmp_path: Path) -> None:
    breaker = BreakerPolicy(failures=1, open_time=0.05)
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=NO_RETRY, breaker=breaker)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        await fail(kv, 1)
        with pytest.raises(RpcError, match="not now"):
            await pid_of(kv)
        hanging = asyncio.ensure_future(kv.get(GetRequest(key="hang")))
        while not plugin.in_flight:
            if hanging.done():  # The circuit was still open.
                assert hanging.exception() is not None
                hanging = asyncio.ensure_future(kv.get(GetRequest(key="hang")))
            await asyncio.sleep(0.01)
        await circuit_is(plugin, kv, Circuit.CLOSED)
        assert not hanging.done()
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_the_other_replica_takes_the_calls_of_one_whose_circuit_is_open(tmp_path: Path) -> None:
    launch = Launch([kv_program(tmp_path)], replicas=2)
    breaker = BreakerPolicy(failures=1, open_time=60)
    async with Runtime([launch], policies=Policies(breaker=breaker)) as runtime:
        kv, (first, second) = runtime.client(KeyValueClient), runtime.plugins()
        await fail(kv, 1)
        assert {await pid_of(kv) for _ in range(5)} == {second.pid}
        assert [plugin.circuit for plugin in (first, second)] == [Circuit.OPEN, Circuit.CLOSED]


async def test_an_error_that_is_an_answer_opens_nothing(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)], policies=Policies(breaker=BreakerPolicy(failures=1))) as runtime:
        kv = runtime.client(KeyValueClient)
        for _ in range(3):
            with pytest.raises(RpcError, match="no key"):
                await kv.get(GetRequest(key="absent"))
        assert runtime.plugin("kv").circuit is Circuit.CLOSED


async def test_calls_that_run_out_of_time_open_it_for_themselves_and_an_answer_closes_it(tmp_path: Path) -> None:
    breaker = BreakerPolicy(failures=3, open_time=60)
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=NO_RETRY, breaker=breaker)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        for _ in range(3):
            with pytest.raises(RpcError) as caught:
                await kv.get(GetRequest(key="hang"), timeout=0.05)
            assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert plugin.circuit is Circuit.OPEN
        with pytest.raises(RpcError, match="its circuit is open"):
            await kv.get(GetRequest(key="hang"), timeout=0.05)
        assert await pid_of(kv) == plugin.pid


async def watch(kv: KeyValueClient, key: str, timeout: float | None = None) -> list[bytes]:
    async with kv.watch(WatchRequest(key=key), timeout=timeout) as stream:
        return [message.value async for message in stream]


@pytest.mark.parametrize("over_socket", [False, True])
@pytest.mark.parametrize(
    ("key", "stopped", "code", "circuit"),
    [
        ("hang", False, Code.DEADLINE_EXCEEDED, Circuit.OPEN),  # the plugin ends the stream at the deadline itself
        ("hang", True, Code.DEADLINE_EXCEEDED, Circuit.OPEN),  # the plugin is silent
        ("begin", False, Code.DEADLINE_EXCEEDED, Circuit.CLOSED),  # it has begun to answer
        ("unavailable", False, Code.UNAVAILABLE, Circuit.OPEN),
    ],
)
async def test_a_streaming_call_counts_as_a_unary_one_does(
    tmp_path: Path, over_socket: bool, key: str, stopped: bool, code: Code, circuit: Circuit
) -> None:
    address = local_address(tmp_path)
    policies = Policies(retry=NO_RETRY, breaker=BreakerPolicy(failures=1, open_time=0))
    async with Runtime([kv_program(tmp_path)], policies=policies, listen=[address]) as runtime:
        plugin = runtime.plugin("kv")
        kv = KeyValueClient(SocketClient(address)) if over_socket else runtime.client(KeyValueClient)
        assert await watch(kv, "") == [b"0", b"1", b"2"]
        assert plugin.pid is not None
        if stopped:
            await hold(plugin.pid)
        found = None
        while found is not circuit:  # A request over the socket that came late counts as one that its caller gave up.
            with pytest.raises(RpcError) as caught:
                await watch(kv, key, timeout=0.3)
            assert caught.value.code is code
            while plugin.in_flight:  # The runtime's own end of a call that came over the socket.
                await asyncio.sleep(0.005)
            found = plugin.circuit
        if stopped:
            os.kill(plugin.pid, signal.SIGCONT)
        assert await watch(kv, "") == [b"0", b"1", b"2"]
        assert plugin.circuit is Circuit.CLOSED


async def test_calls_that_run_out_of_time_beside_others_that_are_answered_open_nothing(tmp_path: Path) -> None:
    breaker = BreakerPolicy(failures=1)
    async with Runtime([kv_program(tmp_path)], policies=Policies(retry=NO_RETRY, breaker=breaker)) as runtime:
        plugin, kv = runtime.plugin("kv"), runtime.client(KeyValueClient)
        hanging = asyncio.ensure_future(kv.get(GetRequest(key="hang"), timeout=1.0))
        while not plugin.in_flight:
            await asyncio.sleep(0)
        await pid_of(kv)
        with pytest.raises(RpcError) as caught:
            await hanging
        assert caught.value.code is Code.DEADLINE_EXCEEDED
        assert plugin.circuit is Circuit.CLOSED


async def test_an_answer_over_the_callers_limit_is_its_own_error_and_counts_as_nothing(tmp_path: Path) -> None:
    breaker = BreakerPolicy(failures=1)
    async with Runtime([kv_program(tmp_path)], policies=Policies(breaker=breaker)) as runtime:
        kv = runtime.client(KeyValueClient)
        with pytest.raises(RpcError, match=r"over the limit of 100 bytes set by RpcLimits.receive") as caught:
            await runtime.client(KeyValueClient, limits=RpcLimits(receive=100)).get(GetRequest(key="large"))
        assert caught.value.code is Code.RESOURCE_EXHAUSTED
        assert runtime.plugin("kv").circuit is Circuit.CLOSED
        assert int((await kv.get(GetRequest(key="calls"))).value) == 2
