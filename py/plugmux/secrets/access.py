"""Who may ask for which secrets: the question that goes to every access-control plugin.

Without such a plugin everybody who reaches the socket may ask, which is the user alone. With any, all of them must
allow; one that refuses, fails or does not run, though it has not been switched off, refuses. (wire.md section 4.)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from plugmux_proto.accesscontrol.v1.accesscontrol_connect import AccessControlClient, AccessControlService
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import AuthorizeRequest, Decision, Requester

from ..aio.gather import together
from ..errors import PlugmuxError
from .pattern import Pattern
from .registry import IDLE_ON_PURPOSE, RUNNING, KnownPlugin, Registry, by_name, standing

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

__all__ = ["AccessControl", "AccessModule", "Verdict", "requester"]

logger = logging.getLogger("plugmux.secrets")


class AccessModule(AccessControlService):
    """An access-control plugin: subclass it, define `authorize` and `check_access`, and give it to `Plugin(...)`."""

    def announce(self, request: RegisterPluginRequest) -> None:
        """Say at registration that the plugin decides on access."""
        request.access_control_module.SetInParent()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to an access question.

    Args:
        allowed: whether all that was asked for may be had.
        expires_at: until when that holds; `None` for this request only.
        reason: why not, in words for a person; empty where it is allowed.
    """

    allowed: bool
    expires_at: datetime | None = None
    reason: str = ""


class AccessControl:
    """Asks the access-control plugins of a runtime.

    Args:
        runtime: the runtime.
        timeout: seconds that each plugin is given, `None` for no limit.
    """

    def __init__(self, runtime: Registry, *, timeout: float | None = 10.0) -> None:
        self._runtime = runtime
        self._timeout = timeout

    async def authorize(self, patterns: Sequence[Pattern], who: Requester | None) -> Verdict:
        """Whether the requester may have what all the patterns match.

        Args:
            patterns: what is about to be asked for.
            who: who asks, `None` where that is not known.
        """
        modules = [plugin for plugin in by_name(self._runtime) if _decides(plugin)]
        verdicts = await together(self._ask(plugin, patterns, who) for plugin in modules)
        for verdict in verdicts:
            if not verdict.allowed:
                return verdict
        limits = [verdict.expires_at for verdict in verdicts]
        known = [limit for limit in limits if limit is not None]
        return Verdict(True, min(known) if known and len(known) == len(limits) else None)

    async def _ask(self, plugin: KnownPlugin, patterns: Sequence[Pattern], who: Requester | None) -> Verdict:
        if plugin.state.name != RUNNING:
            return _refused(plugin, f"it does not run ({standing(plugin)})")
        request = AuthorizeRequest(patterns=[pattern.text for pattern in patterns], requester=who)
        try:
            client = self._runtime.client(AccessControlClient, plugin=plugin.name)
            response = await client.authorize(request, timeout=self._timeout)
            expires_at = response.expires_at.ToDatetime(tzinfo=UTC) if response.HasField("expires_at") else None
        except (PlugmuxError, TimeoutError, ValueError, OverflowError) as error:
            logger.warning("access-control plugin %s did not decide, which refuses: %s", plugin.name, error)
            return _refused(plugin, "it did not decide")
        if response.decision != Decision.DECISION_ALLOW:
            return _refused(plugin, "it refused")
        return Verdict(True, expires_at)


def requester(pid: int | None) -> Requester | None:
    """What this machine knows of a process; `None` without a process id.

    Args:
        pid: the process id, as the kernel gave it for the connection.
    """
    if pid is None:
        return None
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return Requester(pid=pid)
    return Requester(pid=pid, name=Path(path).name, absolute_binary_path=path)


def _decides(plugin: KnownPlugin) -> bool:
    said = plugin.registration
    return said is not None and said.access_control and plugin.state.name not in IDLE_ON_PURPOSE


def _refused(plugin: KnownPlugin, why: str) -> Verdict:
    return Verdict(False, reason=f"access-control plugin {plugin.name}: {why}")
