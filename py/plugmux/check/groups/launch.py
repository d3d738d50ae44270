"""Checks of how a plugin is launched."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from ...contract.launch import COMPATIBLE_VARIABLE, FIRST_FREE_FD, VARIABLE, LaunchConfig
from ..check import Group
from ..host import RuntimeEnd, TestRegistrar
from ..outcome import NotApplicable, expect, timed_out
from ..program import PluginRun
from ..subject import NAME, Subject

__all__ = ["GROUP"]

GROUP = Group("launch", "How the plugin starts, and what it is given.")
SLOW = 1.0
"""Seconds that a slow runtime takes to answer a registration."""

PERSONAL = ("HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "PWD")


@GROUP.add(
    "socket",
    "The plugin registers over the descriptor that the launch configuration names.",
    "A runtime launches a plugin with one end of a socket pair as descriptor 3; without this it cannot be used at all.",
    required=True,
)
async def socket(subject: Subject) -> None:
    await subject.shared()


@GROUP.add(
    "compatible-variable",
    "The plugin reads its launch configuration from DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG.",
    "It is the one variable that every runtime of this wire sets.",
    required=True,
)
async def compatible_variable(subject: Subject) -> None:
    environ = subject.environment(subject.config())
    del environ[VARIABLE]
    await _registers(subject, environ)


@GROUP.add(
    "own-variable",
    "Where both variables are set, the plugin reads PLUGMUX_PLUGIN_LAUNCH_CFG.",
    "Only the JSON of this variable carries further keys, such as a pair of pipes.",
    required=False,
)
async def own_variable(subject: Subject) -> None:
    environ = subject.environment(subject.config())
    environ[COMPATIBLE_VARIABLE] = LaunchConfig("other", 60, 9, 9).to_json()
    await _registers(subject, environ)


@GROUP.add(
    "unknown-keys",
    "Keys of the launch configuration that the plugin does not know are ignored.",
    "A newer runtime tells more; a plugin that refuses it must be released again with every runtime.",
    required=True,
)
async def unknown_keys(subject: Subject) -> None:
    environ = subject.environment(subject.config())
    for variable in (VARIABLE, COMPATIBLE_VARIABLE):
        environ[variable] = json.dumps(json.loads(environ[variable]) | {"later": [1, {"than": "this"}]})
    await _registers(subject, environ)


@GROUP.add(
    "pipes",
    'The plugin takes a pair of one-way pipes, "r" and "w", in place of one descriptor.',
    "Where there are no socket pairs, as on Windows, the link runs over pipes.",
    required=False,
)
async def pipes(subject: Subject) -> None:
    (their_read, our_write), (our_read, their_write) = os.pipe(), os.pipe()
    try:
        config = LaunchConfig(NAME, subject.options.startup_timeout, FIRST_FREE_FD, FIRST_FREE_FD + 1)
        program = subject.start(subject.environment(config), [their_read, their_write])
    except BaseException:
        os.close(our_read)
        os.close(our_write)
        raise
    finally:
        os.close(their_read)
        os.close(their_write)
    host = RuntimeEnd(program, TestRegistrar(), subject.options.timeout)
    try:
        await host.link.over_pipes(our_read, our_write)
        await host.wait_registered(subject.options.startup_timeout)
        await host.ping()
    finally:
        await host.close()


@GROUP.add(
    "close-on-exec",
    "Programs that the plugin starts do not inherit the link.",
    "A child that holds the link keeps it open when the plugin has died, and can speak in its name.",
    required=False,
)
async def close_on_exec(subject: Subject) -> None:
    if sys.platform != "linux":
        raise NotApplicable("only Linux tells which descriptors a program passes on")
    host = await subject.shared()
    await host.ping()
    for number, what in host.program.descriptors().items():
        if number > 2 and what.startswith("socket:"):
            expect(not host.program.is_passed_on(number), f"its descriptor {number} ({what}) is not close-on-exec")


@GROUP.add(
    "by-hand",
    "Started by hand, without a launch configuration, the plugin says why it cannot run and ends with a failure.",
    "Whoever tries the program in a shell should learn what it is, and not wait.",
    required=False,
)
async def by_hand(subject: Subject) -> None:
    program = subject.start(subject.environment(None))
    await _ends_with_failure(subject, program, "without a launch configuration")


@GROUP.add(
    "bad-configuration",
    "A launch configuration that cannot be read ends the plugin with a failure, and a message on stderr.",
    "A plugin that waits for a link which never comes looks like a slow one.",
    required=False,
)
async def bad_configuration(subject: Subject) -> None:
    environ = subject.environment(None) | {VARIABLE: "{", COMPATIBLE_VARIABLE: "{"}
    await _ends_with_failure(subject, subject.start(environ), "with a launch configuration that is no JSON")


@GROUP.add(
    "slow-runtime",
    "The plugin waits for a runtime that takes its time to answer the registration.",
    "A host that starts many plugins at once answers late, within the time limit that it has told.",
    required=True,
)
async def slow_runtime(subject: Subject) -> None:
    registrar = TestRegistrar(hold=True)
    async with subject.launched(registrar) as host:
        await host.wait_registered(subject.options.startup_timeout)
        await asyncio.sleep(SLOW)  # Its length decides nothing: a plugin that waits passes however long it is.
        expect(host.program.running, f"it ended with status {host.program.exit_status}{host.program.stderr_tail}")
        registrar.release()
        await host.ping()
        expect((await host.fetch("/health", method="GET")).status == 200, "it did not answer after its registration")


@GROUP.add(
    "closed-stdout",
    "The plugin starts and answers although nobody reads its stdout.",
    "The link is the only channel: a print statement must not end the plugin.",
    required=False,
)
async def closed_stdout(subject: Subject) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        async with subject.registered(stdout=write) as host:
            await host.fetch("/health", method="GET")
    finally:
        os.close(write)


@GROUP.add(
    "noise",
    "What the plugin prints does not reach the link.",
    "A library that prints at import time must not break the protocol: stdout and stderr are logs.",
    required=True,
)
async def noise(subject: Subject) -> None:
    link = await subject.shared_raw()
    await link.ping()  # Every frame since the start has been read, and was one.


@GROUP.add(
    "environment",
    "The plugin starts without a home directory, user, terminal and locale.",
    "Services, containers and CI have none of them.",
    required=False,
)
async def environment(subject: Subject) -> None:
    environ = subject.environment(subject.config())
    kept = {k: v for k, v in environ.items() if k not in PERSONAL and not k.startswith(("LC_", "XDG_"))}
    await _registers(subject, kept | dict(subject.options.environ))


async def _registers(subject: Subject, environ: dict[str, str]) -> None:
    async with subject.launched(environ=environ) as host:
        await host.wait_registered(subject.options.startup_timeout)


async def _ends_with_failure(subject: Subject, program: PluginRun, how: str) -> None:
    try:
        with timed_out(f"it still runs, {how}"):
            async with asyncio.timeout(subject.options.startup_timeout):
                await program.wait()
        expect(program.exit_status != 0, f"it ended with status 0, {how}")
        expect(program.stderr.strip() or program.stdout.strip(), f"it said nothing, {how}")
    finally:
        await program.close()
