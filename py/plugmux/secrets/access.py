"""Access control: asks every access-control plugin whether a requester may have secrets.

Without such a plugin every process that can connect to the socket is allowed; only the user's own processes can. With
such plugins all of them must allow the request. A plugin that cannot answer denies it: one that has not registered yet,
has crashed, has failed for good, or is being restarted. Only a plugin that the host has switched off is not asked.
(docs/wire.md section 5.)
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from plugmux_proto.accesscontrol.v1.accesscontrol_connect import AccessControlClient, AccessControlService
from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CheckAccessRequest,
    CheckAccessResponse,
    Decision,
    Requester,
)

from ..aio.gather import gather
from ..connect import Code, RpcError
from ..connect.server.workers import workers_of
from ..errors import PlugmuxError
from ..platform import executable
from .pattern import Pattern
from .runtime import RUNNING, SWITCHED_OFF, KnownPlugin, SecretsRuntime, by_name, standing
from .times import read_time

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    from ..connect import Context

__all__ = ["AccessControl", "AccessModule", "Verdict", "requester"]

logger = logging.getLogger("plugmux.secrets")


class AccessModule(AccessControlService):
    """An access-control plugin: subclass it, define `check_access`, and give it to `Plugin(...)`.

    `check_access` is called for every request for secrets. `authorize` is called ahead of requests, and decides on none
    of them. If a module defines only one of the two, the other gives the same answers.
    """

    async def check_access(self, request: CheckAccessRequest, context: Context) -> CheckAccessResponse:
        if type(self).authorize is AccessModule.authorize:
            raise RpcError(Code.UNIMPLEMENTED, f"{type(self).__name__} does not define check_access")
        question = AuthorizeRequest(patterns=[request.pattern], requester=_requester_of(request))
        answer: AuthorizeResponse = await self._ask(self.authorize, question, context)
        return CheckAccessResponse(decision=answer.decision)

    async def authorize(self, request: AuthorizeRequest, context: Context) -> AuthorizeResponse:
        for pattern in request.patterns:
            question = CheckAccessRequest(pattern=pattern, requester=_requester_of(request))
            answer: CheckAccessResponse = await self._ask(self.check_access, question, context)
            if answer.decision != Decision.DECISION_ALLOW:
                return AuthorizeResponse(decision=Decision.DECISION_DENY)
        return AuthorizeResponse(decision=Decision.DECISION_ALLOW)

    async def _ask(self, method: Callable[[Any, Context], Any], question: Message, context: Context) -> Any:
        """Call a method of this service; a plain `def` runs in a worker thread, as in a call of a peer."""
        if inspect.iscoroutinefunction(method):
            return await method(question, context)
        return await workers_of(self, self.spec.name).run(method, question, context)

    def announce(self, request: RegisterPluginRequest) -> None:
        """Announce at registration that the plugin decides on access."""
        request.access_control_module.SetInParent()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to an access request.

    Args:
        allowed: whether the requester may have all that it requested.
        expires_at: until when the answer is valid; `None` for this request only.
        reason: why access is denied, for people; empty if it is allowed.
    """

    allowed: bool
    expires_at: datetime | None = None
    reason: str = ""


Ask: TypeAlias = Callable[[AccessControlClient], Awaitable[Verdict]]


class AccessControl:
    """Asks the access-control plugins of a runtime.

    Args:
        runtime: the runtime.
        timeout: seconds for the answer of each plugin (10 by default), `None` for no limit.
    """

    def __init__(self, runtime: SecretsRuntime, *, timeout: float | None = 10.0) -> None:
        self._runtime = runtime
        self._timeout = timeout

    async def check(self, pattern: Pattern, who: Requester | None) -> Verdict:
        """Whether the requester may have the secrets that a pattern matches; called for every request.

        Args:
            pattern: the pattern that is requested.
            who: the requester, `None` if it is not known.
        """
        question = CheckAccessRequest(pattern=pattern.text, requester=who)

        async def ask(client: AccessControlClient) -> Verdict:
            answer = await client.check_access(question, timeout=self._timeout)
            return Verdict(answer.decision == Decision.DECISION_ALLOW)

        return await self._ask_all(ask)

    async def authorize(self, patterns: Sequence[Pattern], who: Requester | None) -> Verdict:
        """Whether the requester may have the secrets that several patterns match; called ahead of requests.

        Args:
            patterns: the patterns that will be requested.
            who: the requester, `None` if it is not known.
        """
        question = AuthorizeRequest(patterns=[pattern.text for pattern in patterns], requester=who)

        async def ask(client: AccessControlClient) -> Verdict:
            answer = await client.authorize(question, timeout=self._timeout)
            return Verdict(answer.decision == Decision.DECISION_ALLOW, read_time(answer, "expires_at"))

        return await self._ask_all(ask)

    async def _ask_all(self, ask: Ask) -> Verdict:
        plugins = by_name(self._runtime)
        missing = set(self._runtime.access_control).difference(plugin.name for plugin in plugins)
        if missing:
            return Verdict(False, reason=f"access-control plugin {min(missing)}: it has not registered")
        modules = [plugin for plugin in plugins if self._decides(plugin)]
        verdicts = await gather(self._ask(plugin, ask) for plugin in modules)
        for verdict in verdicts:
            if not verdict.allowed:
                return verdict
        limits = [verdict.expires_at for verdict in verdicts]
        known = [limit for limit in limits if limit is not None]
        return Verdict(True, min(known) if known and len(known) == len(limits) else None)

    def _decides(self, plugin: KnownPlugin) -> bool:
        named = plugin.decides_on_access or plugin.name in self._runtime.access_control
        return named and (plugin.state.name not in SWITCHED_OFF or plugin.will_run)

    async def _ask(self, plugin: KnownPlugin, ask: Ask) -> Verdict:
        if plugin.state.name != RUNNING:
            return _refused(plugin, f"it does not run ({standing(plugin)})")
        try:
            verdict = await ask(self._runtime.client(AccessControlClient, plugin=plugin.name))
        except (PlugmuxError, TimeoutError, ValueError, OverflowError) as error:
            logger.warning("access-control plugin %s did not decide, which refuses: %s", plugin.name, error)
            return _refused(plugin, "it did not decide")
        return verdict if verdict.allowed else _refused(plugin, "it refused")


def requester(pid: int | None, identity: str = "") -> Requester | None:
    """What this machine knows of who makes a request; `None` where it knows nothing.

    Args:
        pid: the process id that the kernel reports for the connection.
        identity: who it is by its certificate, if it is on another machine.
    """
    if identity:
        return Requester(identity=identity)
    if pid is None:
        return None
    path = executable(pid)
    return (
        Requester(pid=pid)
        if path is None
        else Requester(pid=pid, name=os.path.basename(path), absolute_binary_path=path)
    )


def _requester_of(request: CheckAccessRequest | AuthorizeRequest) -> Requester | None:
    return request.requester if request.HasField("requester") else None


def _refused(plugin: KnownPlugin, why: str) -> Verdict:
    return Verdict(False, reason=f"access-control plugin {plugin.name}: {why}")
