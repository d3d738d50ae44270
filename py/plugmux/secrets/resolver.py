"""Resolves patterns to secrets, through all providers of a runtime.

A provider is asked if its own pattern includes the requested one, or is included by it. It is asked for the narrower of
the two, so that `**` asks every provider for all its secrets. All providers are asked concurrently. The results are
sorted by the providers' names, so that they do not depend on which provider is fast. (docs/wire.md section 5.) The
outcome for each plugin is an `Account`; results, errors and `explain` are made from the same accounts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from plugmux_proto.resolver.v1.resolver_connect import ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest, GetSecretsResponse

from ..aio.gather import gather
from ..connect import Code, RpcError
from ..errors import PlugmuxError
from .error import ProviderOutage, SecretNotFound
from .explanation import Account, Explanation, Outcome
from .pattern import Pattern
from .runtime import IDLE_ON_PURPOSE, RUNNING, KnownPlugin, SecretsRuntime, by_name, standing
from .secret import Secret

__all__ = ["Resolver"]

logger = logging.getLogger("plugmux.secrets")

EVERYTHING = Pattern("**")
"""What a provider that has not registered yet may have."""
MAX_REASON = 300
MAX_IDS_NAMED = 5


@dataclass(frozen=True, slots=True)
class _Answer:
    account: Account
    secrets: Sequence[Secret] = ()


class Resolver:
    """Resolves ids and patterns, through all providers of a runtime.

    Args:
        runtime: the runtime whose providers are asked.
        strict: whether a resolution fails if any provider fails. By default a provider that fails is logged and
            skipped, so that a secret that only it has is not found. A plugin that has never registered counts as a
            provider, since it may be one; a plugin that was stopped or disabled on purpose does not.
        required: names of plugins that must answer, strict or not; a name that the runtime does not know fails, too.
        timeout: seconds for the answer of each provider (30 by default), `None` for no limit.
        now: the clock, for `Secret.resolved_at`.

    Cancelling a call cancels it at every provider.
    """

    def __init__(
        self,
        runtime: SecretsRuntime,
        *,
        strict: bool = False,
        required: Collection[str] = (),
        timeout: float | None = 30.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._runtime = runtime
        self._strict = strict
        self._required = frozenset([required] if isinstance(required, str) else required)
        self._timeout = timeout
        self._now = now
        self._patterns: dict[str, Pattern] = {}
        """The parsed pattern of each provider, by its name."""

    async def get(self, pattern: str | Pattern) -> Secret:
        """Find exactly one secret, as a rule by its id.

        If several providers have a secret of this id, that of the first by name is returned.

        Raises:
            InvalidPattern: the text is not well formed.
            SecretNotFound: there is none, or the pattern matches several ids.
            ProviderOutage: a provider that had to answer did not.
        """
        asked = Pattern.of(pattern)
        answers = await self._resolve(asked)
        secrets = [secret for answer in answers for secret in answer.secrets]
        ids = {secret.id: None for secret in secrets}
        if not secrets:
            raise SecretNotFound(_nothing_found(asked, answers), pattern=asked.text)
        if len(ids) > 1:
            named = ", ".join(list(ids)[:MAX_IDS_NAMED]) + (", ..." if len(ids) > MAX_IDS_NAMED else "")
            message = f"{asked.text!r} matches {len(ids)} secrets ({named}), not one; get_all returns them all"
            raise SecretNotFound(message, pattern=asked.text)
        return secrets[0]

    async def get_all(self, pattern: str | Pattern) -> list[Secret]:
        """Find all secrets that a pattern matches, in the order of the providers' names; there may be none.

        Raises:
            InvalidPattern: the text is not well formed.
            ProviderOutage: a provider that had to answer did not.
        """
        return [secret for answer in await self._resolve(Pattern.of(pattern)) for secret in answer.secrets]

    async def explain(self, pattern: str | Pattern) -> Explanation:
        """Resolve a pattern and return the outcome for every plugin. The providers are asked, but no value is kept.

        Raises:
            InvalidPattern: the text is not well formed.
        """
        asked = Pattern.of(pattern)
        return _explanation(asked, await self._ask_all(asked))

    async def _resolve(self, asked: Pattern) -> list[_Answer]:
        answers = await self._ask_all(asked)
        if outages := _explanation(asked, answers).outages:
            raise ProviderOutage(outages, pattern=asked.text)
        for account in (answer.account for answer in answers):
            if account.outcome is Outcome.FAILED:
                logger.warning("provider %s is skipped for %s: %s", account.plugin, asked, account.reason)
        return answers

    async def _ask_all(self, asked: Pattern) -> list[_Answer]:
        plugins = by_name(self._runtime)
        names = {plugin.name for plugin in plugins}
        unknown = self._required - names
        for gone in self._patterns.keys() - names:
            del self._patterns[gone]
        answers = [
            _Answer(Account(name, Outcome.FAILED, "the runtime has no plugin of this name", required=True))
            for name in unknown
        ]
        fitting = []
        for plugin in plugins:
            if (account := self._without_asking(plugin, asked)) is not None:
                answers.append(_Answer(account))
            else:
                fitting.append(plugin)
        answers += await gather(self._ask(plugin, asked) for plugin in fitting)
        return sorted(answers, key=lambda answer: answer.account.plugin)

    def _without_asking(self, plugin: KnownPlugin, asked: Pattern) -> Account | None:
        """The account of a plugin that must not be asked; `None` for one that must."""
        own = self._own_pattern(plugin)
        if own is not None and own.filter(asked) is None:
            return Account(plugin.name, Outcome.SKIPPED, "its pattern does not include what is asked for", own.text)
        said, required = plugin.registration, self._must_answer(plugin)
        if said is not None and own is None:
            outcome = Outcome.FAILED if plugin.name in self._required else Outcome.SKIPPED
            return Account(plugin.name, outcome, "it is not a secrets provider", required=required)
        if plugin.state.name == RUNNING or (required and plugin.will_run):
            return None
        down = required or (said is not None and plugin.state.name not in IDLE_ON_PURPOSE)
        reason = f"it does not run ({standing(plugin)})"
        outcome = Outcome.FAILED if down else Outcome.SKIPPED
        return Account(plugin.name, outcome, reason, own.text if own else None, required=required)

    def _must_answer(self, plugin: KnownPlugin) -> bool:
        wanted = plugin.will_run or plugin.state.name not in IDLE_ON_PURPOSE
        return plugin.name in self._required or (self._strict and wanted)

    async def _ask(self, plugin: KnownPlugin, asked: Pattern) -> _Answer:
        required = self._must_answer(plugin)
        narrower = (self._own_pattern(plugin) or EVERYTHING).filter(asked) or asked
        try:
            client = self._runtime.client(ResolverClient, plugin=plugin.name)
            response = await client.get_secrets(GetSecretsRequest(pattern=narrower.text), timeout=self._timeout)
        except (PlugmuxError, TimeoutError) as error:
            none = isinstance(error, RpcError) and error.code is Code.NOT_FOUND
            outcome = Outcome.HAS_NONE if none else Outcome.FAILED
            reason = "it has no secret that matches" if none else _one_line(error)
            return _Answer(Account(plugin.name, outcome, reason, _pattern_of(plugin), required=required))
        secrets = self._take(plugin, asked, response)
        outcome = Outcome.ANSWERED if secrets else Outcome.HAS_NONE
        reason = _told(len(secrets), len(response.envelopes) - len(secrets))
        return _Answer(Account(plugin.name, outcome, reason, _pattern_of(plugin), len(secrets), required), secrets)

    def _take(self, plugin: KnownPlugin, asked: Pattern, response: GetSecretsResponse) -> list[Secret]:
        """The secrets of a response that the provider was asked for and may have, with the provider's name set."""
        own, now = self._own_pattern(plugin) or EVERYTHING, self._now()
        taken = []
        for envelope in response.envelopes:
            try:
                secret = Secret.from_envelope(envelope)
            except ValueError:
                continue
            if asked.match(secret.id) and own.match(secret.id):
                taken.append(secret.replace(provider=plugin.name, resolved_at=secret.resolved_at or now))
        if left_out := len(response.envelopes) - len(taken):
            logger.warning(
                "provider %s returned %d secrets that it was not asked for or cannot have", plugin.name, left_out
            )
        return taken

    def _own_pattern(self, plugin: KnownPlugin) -> Pattern | None:
        """The pattern that a provider has registered; it is parsed once, and again when it registers another."""
        text = _pattern_of(plugin)
        if text is None:
            return None
        own = self._patterns.get(plugin.name)
        if own is None or own.text != text:
            own = self._patterns[plugin.name] = Pattern(text)
        return own


def _pattern_of(plugin: KnownPlugin) -> str | None:
    return plugin.registration.secrets_pattern if plugin.registration else None


def _explanation(asked: Pattern, answers: Iterable[_Answer]) -> Explanation:
    return Explanation(asked, tuple(answer.account for answer in answers))


def _told(found: int, left_out: int) -> str:
    told = f"it gave {found} secret{'' if found == 1 else 's'}"
    return f"{told}, and {left_out} that it was not asked for or cannot give" if left_out else told


def _nothing_found(asked: Pattern, answers: Iterable[_Answer]) -> str:
    accounts = [answer.account for answer in answers]
    asked_names = [account.plugin for account in accounts if account.outcome is Outcome.HAS_NONE]
    failed = [f"{account.plugin} ({account.reason})" for account in accounts if account.outcome is Outcome.FAILED]
    told = f"; asked: {', '.join(asked_names)}" if asked_names else ""
    told += f"; failed: {', '.join(failed)}" if failed else ""
    return f"no provider has a secret that matches {asked.text!r}{told or '; none provides it'}"


def _one_line(error: BaseException) -> str:
    """The message of an error on one line and of bounded length, because the plugin may have chosen it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + "..."
