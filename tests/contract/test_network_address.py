"""Addresses in the network, as people write them."""

from __future__ import annotations

import pytest

from plugmux.contract.address import Address, NetworkAddress, is_network, parse_address
from plugmux.errors import ConfigError
from support.vectors import shown, table

ADDRESSES = table("remote.json")["addresses"]


@pytest.mark.parametrize(("text", "scheme", "host", "port", "written"), ADDRESSES["valid"], ids=shown)
def test_an_address_is_read(text: str, scheme: str, host: str, port: int, written: str) -> None:
    address = parse_address(text)
    assert address == NetworkAddress(scheme, host, port)
    assert str(address) == written
    assert parse_address(written) == address


@pytest.mark.parametrize("text", ADDRESSES["invalid"], ids=shown)
def test_what_is_not_an_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid"):
        parse_address(text)


@pytest.mark.parametrize("text", ADDRESSES["insecure"], ids=shown)
def test_without_tls_an_address_must_not_leave_the_machine(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="has no TLS and leaves this machine: write tls://"):
        parse_address(text)
    assert str(parse_address(text, insecure_tcp=True)) == text
    monkeypatch.setenv("PLUGMUX_INSECURE_TCP", "1")
    assert str(parse_address(text)) == text


def test_every_other_address_is_one_of_a_unix_socket() -> None:
    assert parse_address("unix:/run/x.sock") == Address("/run/x.sock")
    assert not is_network("unix:///run/x.sock")
    assert not is_network("./tls/x.sock")


def test_certificates_are_held_against_the_name_behind_the_service() -> None:
    assert NetworkAddress.parse("tls+srv://_plugmux._tcp.kv.example").server_name == "kv.example"
    assert NetworkAddress.parse("tls://kv.example:1").server_name == "kv.example"
