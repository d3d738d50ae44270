"""Who a peer is by its certificate, and which names that grants.

An identity is a SPIFFE id, `spiffe://prod/ns/a/kv`, or a DNS name, `kv.plugins.svc`. Its name is the last segment of
the path, or the first label: `kv` in both. A pattern is an identity where `*` stands for one segment or one label.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ..errors import ConfigError, PlugmuxError

__all__ = [
    "EVERYBODY",
    "UntrustedIdentity",
    "check_pattern",
    "grants",
    "identity_of",
    "matches",
    "name_of",
    "patterns_of",
]

EVERYBODY = "*"
"""The pattern that matches every peer, also one without an identity."""

SPIFFE = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
SPIFFE_PATTERN = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?:\*|[A-Za-z0-9._-]+))+")
DNS_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*")
DNS_PATTERN = re.compile(r"(?:\*|[a-z0-9_][a-z0-9_-]{0,62})(?:\.(?:\*|[a-z0-9_][a-z0-9_-]{0,62}))*")
MAX_IDENTITY = 2048
MAX_SHOWN = 140
"""Characters of a peer's own that go into an error."""


class UntrustedIdentity(PlugmuxError):
    """A certificate that its CA vouches for names no identity, or not the one that is expected."""


def identity_of(names: Iterable[Sequence[Any]]) -> str:
    """The identity that the subject alternative names of a certificate give.

    Args:
        names: pairs of a kind (`URI`, `DNS`) and a name, as `ssl` gives them.

    Raises:
        UntrustedIdentity: they give none, or more than one SPIFFE id.
    """
    pairs = [(str(kind), str(name)) for kind, name, *_ in names]
    spiffe = [name for kind, name in pairs if kind == "URI" and name.lower().startswith("spiffe:")]
    if len(spiffe) > 1:
        raise UntrustedIdentity(f"its certificate has {len(spiffe)} SPIFFE ids, and must have one")
    if spiffe:
        if len(spiffe[0]) > MAX_IDENTITY or not SPIFFE.fullmatch(spiffe[0]):
            raise UntrustedIdentity(f"its certificate has a SPIFFE id that is not valid: {spiffe[0][:MAX_SHOWN]!r}")
        return spiffe[0]
    hosts = [name.lower() for kind, name in pairs if kind == "DNS"]
    for name in hosts:
        if len(name) <= MAX_IDENTITY and DNS_NAME.fullmatch(name):
            return name
    if hosts:
        raise UntrustedIdentity(f"its certificate names only {hosts[0][:MAX_SHOWN]}, and an identity is one name")
    raise UntrustedIdentity("its certificate has neither a SPIFFE id nor a DNS name")


def name_of(identity: str) -> str:
    """The name of an identity: the last segment of a SPIFFE path, or the first label of a DNS name."""
    return identity.rpartition("/")[2] if identity.startswith("spiffe://") else identity.partition(".")[0]


def check_pattern(pattern: str) -> str:
    """Check a pattern of identities, and return it as it is compared.

    Raises:
        ConfigError: it is not one.
    """
    text = pattern if pattern.startswith("spiffe://") else pattern.lower()
    if text == EVERYBODY or SPIFFE_PATTERN.fullmatch(text) or DNS_PATTERN.fullmatch(text):
        return text
    raise ConfigError(
        f"{pattern!r} is not an identity: write spiffe://trust-domain/path or a DNS name, where * stands for one "
        "segment or one label"
    )


def matches(pattern: str, identity: str) -> bool:
    """Whether a pattern matches an identity; `check_pattern` has taken the pattern."""
    if pattern == EVERYBODY:
        return True
    separator = "/" if pattern.startswith("spiffe://") else "."
    if identity.startswith("spiffe://") != (separator == "/"):
        return False
    wanted, given = pattern.split(separator), identity.split(separator)
    return len(wanted) == len(given) and all(want in ("*", part) for want, part in zip(wanted, given, strict=True))


def patterns_of(given: Mapping[str, str | Iterable[str]] | None) -> Mapping[str, tuple[str, ...]] | None:
    """The patterns that a mapping gives to each name, checked.

    Raises:
        ConfigError: one is not a pattern.
    """
    if given is None:
        return None
    return {
        name: tuple(map(check_pattern, (patterns,) if isinstance(patterns, str) else patterns))
        for name, patterns in given.items()
    }


def grants(identity: str, name: str, identities: Mapping[str, Collection[str]] | None) -> None:
    """Check that a peer may have a name.

    Args:
        identity: the peer's.
        name: the name of a plugin.
        identities: patterns by name, which alone decide where they are given.

    Raises:
        UntrustedIdentity: it may not; the message tells the two identities.
    """
    if identities is None:
        if name_of(identity) == name:
            return
        expected = f"an identity whose name is {name!r}"
    elif name in identities:
        if any(matches(pattern, identity) for pattern in identities[name]):
            return
        expected = " or ".join(identities[name])
    else:
        expected = "nobody: Permissions.identities does not have the name"
    raise UntrustedIdentity(f"its certificate is {identity}, and the name {name!r} is granted to {expected}")
