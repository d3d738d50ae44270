"""What who calls over a network may have: `Permissions.allow`, by the identity of its certificate.

By default nobody may call anything. A plugin may connect and register; `Permissions.identities` says under which name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ...contract.registration import MAX_PATTERN, PATTERN
from ...errors import ConfigError
from ...network.identity import EVERYBODY, matches

__all__ = ["NOTHING", "Allowed", "Policy"]

METRICS = "/metrics"
SECRETS = "secrets:"
ALWAYS = frozenset({"health.v1.VersionService"})
SECRET_SERVICES = frozenset({"resolver.v1.ResolverService", "resolver.v1.AuthorizerService"})
OBSERVE = frozenset({"/metrics", "/plugins.v1.PluginManagementService/ListPlugins"})
MANAGEMENT = "plugins.v1.PluginManagementService"
EVENTS = "plugmux.v1.RuntimeService"
OWN = "plugmux.v1."
"""What the runtime's other services begin with: whoever manages it may call them."""

MAX_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one identity may have.

    Args:
        entries: the entries of `Permissions.allow` that hold for it.
        secrets: the patterns of the secrets that it may have.
    """

    entries: frozenset[str]
    secrets: tuple[str, ...]

    def may_call(self, path: str) -> bool:
        """Whether it may call a method, by its path."""
        service, _, _ = path[1:].partition("/")
        if path == METRICS:
            return "observe" in self.entries
        if service in ALWAYS:
            return True
        if service in SECRET_SERVICES:
            return bool(self.secrets)
        if service == EVENTS or path in OBSERVE:
            return "observe" in self.entries
        if service == MANAGEMENT or service.startswith(OWN):
            return "manage" in self.entries
        package = service.rpartition(".")[0]
        return not self.entries.isdisjoint((service, path, "*", f"{package}.*"))


NOTHING = Allowed(frozenset(), ())


class Policy:
    """Who may call what.

    Args:
        allow: entries by patterns of identities, as in `Permissions.allow`.

    Raises:
        ConfigError: an entry is not one.
    """

    def __init__(self, allow: Mapping[str, Collection[str]]) -> None:
        self._allow = allow
        self._known: dict[str, Allowed] = {}
        for entries in allow.values():
            for entry in entries:
                _check(entry)

    def of(self, identity: str) -> Allowed:
        """What an identity may have; an empty one is that of a peer that nobody vouches for."""
        known = self._known.get(identity)
        if known is None:
            entries = frozenset(
                entry
                for pattern, those in self._allow.items()
                if pattern == EVERYBODY or (identity and matches(pattern, identity))
                for entry in those
            )
            secrets = sorted(entry.removeprefix(SECRETS) for entry in entries if entry.startswith(SECRETS))
            known = Allowed(entries, tuple(secrets))
            if len(self._known) < MAX_REMEMBERED:
                self._known[identity] = known
        return known


def _check(entry: str) -> None:
    if entry in ("*", "manage", "observe"):
        return
    if entry.startswith(SECRETS):
        pattern = entry.removeprefix(SECRETS)
        if len(pattern) <= MAX_PATTERN and PATTERN.fullmatch(pattern):
            return
    elif entry.startswith("/"):
        if entry.count("/") == 2 and not entry.endswith("/"):
            return
    elif "/" not in entry and entry.replace(".*", ".x").replace(".", "").replace("_", "").isalnum():
        return
    raise ConfigError(
        f"Permissions.allow: {entry!r} is not known; write a service, package.*, /service/method, *, secrets:PATTERN, "
        "manage or observe"
    )
