"""Who a peer is by its certificate, and which names that grants: the vectors of all languages."""

from __future__ import annotations

import pytest

from plugmux.errors import ConfigError
from plugmux.network.identity import (
    UntrustedIdentity,
    check_pattern,
    grants,
    identity_of,
    matches,
    name_of,
    patterns_of,
)
from support.vectors import shown, table

IDENTITIES = table("remote.json")["identities"]


@pytest.mark.parametrize(("identity", "name"), IDENTITIES["names"], ids=shown)
def test_an_identity_has_a_name(identity: str, name: str) -> None:
    assert name_of(identity) == name


@pytest.mark.parametrize(("names", "identity"), IDENTITIES["of_certificates"], ids=shown)
def test_a_certificate_gives_an_identity(names: list[list[str]], identity: str) -> None:
    assert identity_of(names) == identity


@pytest.mark.parametrize("names", IDENTITIES["none_of_certificates"], ids=shown)
def test_a_certificate_gives_none(names: list[list[str]]) -> None:
    with pytest.raises(UntrustedIdentity, match="its certificate"):
        identity_of(names)


@pytest.mark.parametrize(("pattern", "identity", "matching"), IDENTITIES["patterns"], ids=shown)
def test_a_pattern_matches(pattern: str, identity: str, matching: bool) -> None:
    assert matches(check_pattern(pattern), identity) is matching


@pytest.mark.parametrize("pattern", IDENTITIES["invalid_patterns"], ids=shown)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="is not an identity"):
        check_pattern(pattern)


def test_a_name_is_granted_to_who_has_it() -> None:
    grants("spiffe://prod/kv", "kv", None)
    with pytest.raises(
        UntrustedIdentity, match="spiffe://prod/other, and the name 'kv' is granted to an identity whose"
    ):
        grants("spiffe://prod/other", "kv", None)


def test_where_a_map_is_given_it_alone_decides() -> None:
    identities = patterns_of({"kv": "spiffe://prod/*/store", "vault": ["vault.a", "vault.b"]})
    grants("spiffe://prod/a/store", "kv", identities)
    grants("vault.b", "vault", identities)
    with pytest.raises(UntrustedIdentity, match=r"granted to spiffe://prod/\*/store"):
        grants("spiffe://prod/kv", "kv", identities)
    with pytest.raises(UntrustedIdentity, match="granted to nobody"):
        grants("log", "log", identities)
