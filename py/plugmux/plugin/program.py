"""Runs a plugin as a process: finds its runtime, handles signals, and sets the exit status."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Never

from ..contract.address import Address, is_network
from ..contract.launch import LISTEN_VARIABLE, SOCKET_VARIABLE, LaunchConfig
from ..errors import ConfigError, PlugmuxError
from ..platform import TERMINATION, claim_link, end_children, handle_signals
from .logging import DefaultLogHandler
from .orphan import ORPHAN_CLEAN_UP_TIME, RuntimeWatch

if TYPE_CHECKING:
    from ..network.tls import TLS
    from .connection import RuntimeConnection
    from .network import NetworkLinks

__all__ = ["run"]

FAILED = 1
WRONG_USAGE = 2
STDERR = 2
LAST_GRACE = 3.0
"""Seconds that the event loop waits for its worker threads before the process ends without them."""

USAGE = """\
{name} {version} is a plugmux plugin: a runtime starts it, or it connects to one that runs.
It serves: {services}.

  plugmux plugins --plugin {word}     launch it and show it
  PLUGMUX_SOCKET=unix:/path {command}    connect it to the runtime that listens there
  PLUGMUX_SOCKET=tls://host:port ...     the same, on another machine; PLUGMUX_TLS_DIR names its certificate
  {command} --listen tls://0.0.0.0:port  listen for runtimes on other machines
"""
LISTEN_ARGUMENTS = 3


def run(
    connection: RuntimeConnection,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
    clean_up_time: float = ORPHAN_CLEAN_UP_TIME,
    listen: str = "",
    tls: TLS | None = None,
) -> None:
    """Run the plugin until it ends. (See `Plugin.run`.)"""
    try:
        config = LaunchConfig.take_from(os.environ)
        address = None if config else _address(listen, tls)
        if config is not None:
            _claim(config)
    except ConfigError as error:
        _exit(connection, str(error), WRONG_USAGE)
    if config is None and address is None:
        _explain(connection)
    if config is not None:
        _print_line_by_line()
        connection.watch = RuntimeWatch(config.runtime_pid, clean_up_time, captured=not config.terminal)
    logging.getLogger("plugmux").addHandler(DefaultLogHandler(connection))
    connection.prints_stacks = _print_stacks_at_quit()
    failure: PlugmuxError | None = None
    try:
        with ExitStack() as closed, asyncio.Runner(loop_factory=loop_factory) as runner:
            failure = _run_to_the_end(runner.get_loop(), connection, _serve(connection, config, address))
            closed.callback(_end_without_stuck_threads(FAILED if failure else 0).cancel)
    except KeyboardInterrupt:
        pass
    finally:
        if config is not None:
            end_children()
    if failure:
        _exit(connection, str(failure), FAILED)


def _run_to_the_end(
    loop: asyncio.AbstractEventLoop, connection: RuntimeConnection, work: Coroutine[Any, Any, PlugmuxError | None]
) -> PlugmuxError | None:
    """Run the plugin. A `SystemExit` in any task or callback ends the plugin in order, and is then raised."""
    serving = loop.create_task(work)
    leaving: SystemExit | None = None
    while True:
        try:
            failure = loop.run_until_complete(serving)
            break
        except SystemExit as error:
            if serving.done():
                raise
            leaving = leaving or error
            connection.stop()
    if leaving is not None:
        raise leaving
    return failure


async def _serve(
    connection: RuntimeConnection, config: LaunchConfig | None, address: Address | NetworkLinks | None
) -> PlugmuxError | None:
    handle_signals(TERMINATION, connection.stop)
    # At a shared terminal Ctrl-C reaches the runtime as well, which then ends its plugins in order.
    shared = config is not None and config.terminal
    handle_signals([signal.SIGINT], _leave_to_the_runtime if shared else connection.stop)
    try:
        if config is not None and config.address:
            from .join import serve_joined  # a plugin on the machine of its runtime needs none of it

            await serve_joined(connection, config)
        elif config is not None:
            await connection.serve_launched(config)
        elif isinstance(address, Address):
            await connection.serve_dialed(address)
        elif address is not None:
            await address.serve(connection)
    except PlugmuxError as error:
        return error
    return None


def _leave_to_the_runtime() -> None: ...


def _address(listen: str, tls: TLS | None) -> Address | NetworkLinks | None:
    """Where the runtime is, or where the plugin listens for runtimes.

    Raises:
        ConfigError: an address is not valid, or there is no certificate for it.
    """
    if not listen:
        listen = os.environ.get(LISTEN_VARIABLE, "")
    if sys.argv[1:2] == ["--listen"] and len(sys.argv) == LISTEN_ARGUMENTS:
        listen = sys.argv[2]
    text = os.environ.get(SOCKET_VARIABLE, "")
    if not listen and not is_network(text):
        return Address.parse(text) if text else None
    from .network import NetworkLinks  # a launched plugin needs none of it

    return NetworkLinks.parse(listen, text, tls)


def _claim(config: LaunchConfig) -> None:
    """Set close-on-exec for the link's descriptors, because a child that inherited one would keep the link open.

    Raises:
        ConfigError: a descriptor is not open, or is not of a kind that can carry a link.
    """
    if not config.descriptors:
        return
    try:
        claim_link(config.read_fd, config.write_fd)
    except ValueError as error:
        raise ConfigError(f"the launch configuration names {error}") from None


def _print_stacks_at_quit() -> bool:
    """Make SIGQUIT print the stacks of all threads on stderr, even while the event loop is blocked.

    Returns:
        Whether it does; it does not on Windows, nor if the program handles the signal itself.
    """
    import faulthandler

    if not hasattr(faulthandler, "register"):
        return False
    if signal.getsignal(signal.SIGQUIT) not in (signal.SIG_DFL, signal.SIG_IGN):
        return False
    faulthandler.register(signal.SIGQUIT, file=STDERR, all_threads=True, chain=False)
    return True


def _print_line_by_line() -> None:
    """Flush stdout after every line, so that the runtime logs it at once; Python buffers kilobytes for a pipe."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _end_without_stuck_threads(status: int) -> threading.Timer:
    """End the process if the event loop does not close because a worker thread (`asyncio.to_thread`) never returns.

    The loop joins its threads without a limit. A daemon thread ends the process after a while, unless the timer is
    cancelled. The runtime has gone by then, so that no result is lost.
    """
    timer = threading.Timer(LAST_GRACE, os._exit, (status,))
    timer.daemon = True
    timer.start()
    return timer


def _explain(connection: RuntimeConnection) -> Never:
    said = connection.registration
    serves = [f"secrets {said.secrets_pattern}"] if said.secrets_pattern else []
    serves += ["access control"] if said.access_control else []
    each = [f"{service} (instances)" for service in said.instances.services] if said.instances else []
    program = sys.argv[0]
    runs_alone = os.path.dirname(program) and os.access(program, os.X_OK)
    command = program if runs_alone else f"python {program}"
    text = USAGE.format(
        name=said.name,
        version=said.version,
        services=", ".join([*serves, *said.services, *each]) or "no services",
        command=command,
        word=program if program.endswith(".py") else shlex.quote(command),
    )
    print(text, end="", file=sys.stderr)
    raise SystemExit(WRONG_USAGE)


def _exit(connection: RuntimeConnection, message: str, status: int) -> Never:
    print(f"{connection.registration.name}: {message}", file=sys.stderr)
    raise SystemExit(status)
