"""Plugins that were started elsewhere and whose links are lost: they dial again, with the certificate of that time."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Policies, Runtime, Timeouts
from plugmux.aio.broadcast import Broadcast
from plugmux.errors import PluginCause
from plugmux.http.upgrade import UpgradeRefused
from plugmux.link.app import LinkApp
from plugmux.link.hijack import dial_link
from plugmux.link.link import Link, Peer
from plugmux.network.connect import ConnectFailed
from plugmux.network.description import x509_module
from plugmux.network.remote_end import RemoteEnd
from plugmux.network.tls import TLS
from plugmux.plugin.join import _join
from plugmux.runners import JoinPoint, joining
from plugmux.runners.joining import Joining
from plugmux.runtime import State
from plugmux.runtime.events import EventKind
from plugmux.runtime.logs.log import PluginLog
from plugmux.runtime.settings import RestartPolicy
from support.joining import elsewhere
from support.remote import until
from support.tools import LANGUAGES

NEVER = RestartPolicy(tries=0)


@pytest.fixture
def point() -> JoinPoint:
    return JoinPoint("tls://127.0.0.1:0")


def lose_link(runtime: Runtime) -> Link:
    link = runtime.plugin("kv")._record.link
    assert link is not None
    link.abort()
    return link


async def linked_again(runtime: Runtime, lost: Link) -> None:
    plugin = runtime.plugin("kv")
    await until(lambda: plugin.state is State.RUNNING and plugin._record.link is not lost)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_whose_link_is_lost_links_again_and_goes_on(language: str, point: JoinPoint) -> None:
    async with Runtime([elsewhere(language, point, restart=NEVER)]) as runtime:
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=b"kept"))
        for _ in range(2):
            await linked_again(runtime, lose_link(runtime))
            assert (await kv.get(GetRequest(key="a"))).value == b"kept"  # It is the same process.


async def test_what_was_lent_over_a_link_that_is_lost_is_cleaned_up(point: JoinPoint) -> None:
    released = asyncio.Event()

    async def on_release() -> None:
        released.set()

    async with Runtime([elsewhere("go", point, restart=NEVER)]) as runtime:
        link = runtime.plugin("kv").link
        assert link is not None
        link.lend(AuditService(), on_release=on_release)
        await linked_again(runtime, lose_link(runtime))
        await asyncio.wait_for(released.wait(), 30)


async def test_what_becomes_of_the_plugin_is_told(point: JoinPoint) -> None:
    async with Runtime([elsewhere("go", point, restart=NEVER)]) as runtime:
        events = runtime.events()
        reading = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        lost = lose_link(runtime)
        event = await asyncio.wait_for(reading, 60)
        assert (event.kind, event.plugin) == (EventKind.CHANGE, "kv")
        assert "its link was lost" in event.status
        assert "it has 60 s to link again" in event.status
        await linked_again(runtime, lost)
        peer = runtime.plugin("kv").peer
        assert peer is not None
        assert peer.identity.endswith("/kv")
        await events.aclose()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_link_that_comes_later_has_the_renewed_certificate(
    language: str, point: JoinPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "LIFETIME", timedelta(seconds=30))  # It is renewed after a tenth of that.
    issued: list[int] = []
    certify = JoinPoint.certify

    def noted(self: JoinPoint, token: str, request: bytes, end: RemoteEnd) -> str:
        pem = certify(self, token, request, end)
        issued.append(x509_module().load_pem_x509_certificate(pem.encode()).serial_number)
        return pem

    shown: dict[str, int] = {}
    of = RemoteEnd.of

    def looked_at(transport: asyncio.BaseTransport) -> RemoteEnd:
        end = of(transport)
        if end.shown:
            shown[end.address] = int(transport.get_extra_info("peercert")["serialNumber"], 16)
        return end

    monkeypatch.setattr(JoinPoint, "certify", noted)
    monkeypatch.setattr(RemoteEnd, "of", looked_at)
    async with Runtime([elsewhere(language, point, restart=NEVER)]) as runtime:
        peer = runtime.plugin("kv").peer
        assert peer is not None
        assert shown[peer.address] == issued[0]
        await until(lambda: len(issued) > 2)
        await linked_again(runtime, lose_link(runtime))
        peer = runtime.plugin("kv").peer
        assert peer is not None
        assert shown[peer.address] in issued[1:]
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))


async def test_a_plugin_that_is_away_for_too_long_is_given_up(point: JoinPoint) -> None:
    policies = Policies(restart=NEVER, timeouts=Timeouts(away=0.2, terminate=0.1))
    async with Runtime([elsewhere("go", point)], policies=policies) as runtime:
        plugin = runtime.plugin("kv")
        await until(lambda: plugin.state is State.RUNNING)
        (run,) = point._expected.values()
        pid = _pid_of(runtime)
        os.kill(pid, signal.SIGSTOP)
        lose_link(runtime)
        await until(lambda: plugin.state is State.GAVE_UP)
        assert plugin.error is not None
        assert plugin.error.cause is PluginCause.LINK_LOST
        assert "did not link again within 0.2 s (Timeouts.away)" in str(plugin.error)
        assert run.id not in point._expected


async def test_a_plugin_that_is_killed_is_started_anew(point: JoinPoint) -> None:
    async with Runtime([elsewhere("go", point)]) as runtime:
        plugin = runtime.plugin("kv")
        os.kill(_pid_of(runtime), signal.SIGKILL)
        await until(lambda: plugin.restarts == 1 and plugin.state is State.RUNNING)
        await runtime.client(KeyValueClient).put(PutRequest(key="a", value=b"1"))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_plugin_whose_run_has_ended_ends_as_well(language: str, point: JoinPoint, tmp_path: Path) -> None:
    """As where ssh has died: the plugin lives on, and is refused when it dials."""
    pid_file = tmp_path / "pid"
    via = ["sh", "-c", f"exec 3<&0; sh <&3 >/dev/null 2>&1 & echo $! > {pid_file}; wait"]
    other = await point.expect("other", 60, PluginLog("other", Broadcast(), lambda name, why: None))
    try:
        async with Runtime([elsewhere(language, point, via, restart=NEVER)]) as runtime:
            pid = int(pid_file.read_text())
            os.kill(_pid_of(runtime), signal.SIGKILL)
            await until(lambda: runtime.plugin("kv").state is State.GAVE_UP)
            await until(lambda: not _is_running(pid))
    finally:
        await other.close()


# -- two links of one start -------------------------------------------------------------------------------------------


async def test_a_newer_link_of_the_same_start_takes_the_place_of_the_older(point: JoinPoint) -> None:
    """The plugin has found out first that its link is lost."""
    async with _Start(point) as start:
        first, dialled = start.offer(), start.link()
        await dial_link(dialled, point.address, start.tls, lambda end: None)
        second, again = start.offer(), start.link()
        await dial_link(again, point.address, start.tls, lambda end: None)
        await asyncio.wait_for(first.wait_closed(), 60)
        assert not second.closed
        await again.ping()


async def test_a_certificate_of_another_start_is_refused_and_changes_nothing(point: JoinPoint) -> None:
    async with _Start(point) as stolen:
        tls = stolen.tls
    async with _Start(point) as start:
        start.offer()
        dialled = start.link()
        await dial_link(dialled, point.address, start.tls, lambda end: None)
        with pytest.raises(ConnectFailed, match="the run that this certificate is for has ended") as caught:
            await dial_link(start.link(), point.address, tls, lambda end: None)
        assert isinstance(caught.value.__cause__, UpgradeRefused)
        assert caught.value.__cause__.status == 403
        await dialled.ping()


class _Start:
    """One start, of which this process is the plugin."""

    tls: TLS

    def __init__(self, point: JoinPoint) -> None:
        self._point = point
        self._joining: Joining
        self._links: list[Link] = []

    async def __aenter__(self) -> _Start:
        log = PluginLog("kv", Broadcast(), lambda name, why: None)
        self._joining = await self._point.expect("kv", 60, log)
        self.tls = (await _join(self._point.address, self._joining.config)).tls
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._joining.close()
        for link in self._links:
            link.abort()
            await link.close(0)

    def offer(self) -> Link:
        """The runtime's end of the next link."""
        link = self.link(initiator=False)
        self._joining.accept(link)
        return link

    def link(self, *, initiator: bool = True) -> Link:
        link = Link(LinkApp([]), initiator=initiator, peer=Peer("the other end"))
        self._links.append(link)
        return link


def _pid_of(runtime: Runtime) -> int:
    """The process id of the command that leads to the plugin."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (pid,) = [int(child) for child in children if _is_running(int(child))]
    return pid


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
