"""Addresses of sockets as people write them."""

from pathlib import Path

import pytest

from plugmux.contract.address import Address
from plugmux.errors import ConfigError
from plugmux.platform import MAX_SOCKET_PATH


def test_a_path_is_a_file() -> None:
    address = Address.parse("unix:///run/x.sock")
    assert address.path == Path("/run/x.sock")
    assert str(address) == "unix:/run/x.sock"


def test_an_abstract_name_is_no_file() -> None:
    address = Address.parse("unix:@name/1")
    assert address.path is None
    assert address.sockaddr == "\0name/1"
    assert str(address) == "unix:@name/1"


def test_a_name_too_long_for_a_socket_is_told_with_the_limit() -> None:
    with pytest.raises(ConfigError, match=f"allows {MAX_SOCKET_PATH}"):
        Address.parse("unix:/" + "x" * MAX_SOCKET_PATH)
    Address.parse("unix:/" + "x" * (MAX_SOCKET_PATH - 1))
