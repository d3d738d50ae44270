"""Header fields of calls."""

from __future__ import annotations

import pytest

from plugmux.connect import Metadata
from plugmux.connect.metadata import from_base64
from plugmux.errors import ConfigError


def test_names_are_found_in_any_case_and_kept_in_lower_case() -> None:
    metadata = Metadata({"X-One": "1"})
    metadata.add("x-one", "2")
    assert (metadata["X-ONE"], metadata.get_all("x-one")) == ("1", ["1", "2"])
    assert (list(metadata), len(metadata)) == (["x-one"], 1)
    metadata["X-One"] = "3"
    assert metadata.raw == [(b"x-one", b"3")]
    del metadata["x-one"]
    assert metadata.get("x-one") is None
    with pytest.raises(KeyError):
        del metadata["x-one"]


def test_a_binary_value_travels_as_base64_without_padding() -> None:
    metadata = Metadata([("x-key-bin", b"\xff\x00\x01\x02")])
    assert metadata.raw == [(b"x-key-bin", b"/wABAg")]
    assert metadata["x-key-bin"] == b"\xff\x00\x01\x02"


@pytest.mark.parametrize("text", [b"/wABAg==", b"/wABAg", b"_wABAg", b"/wABAg="])
def test_base64_is_read_in_either_alphabet_padded_or_not(text: bytes) -> None:
    assert from_base64(text) == b"\xff\x00\x01\x02"


def test_a_name_that_no_field_can_have_is_looked_for_in_vain() -> None:
    metadata = Metadata({"a": "1"})
    assert "€" not in metadata
    assert metadata.get("€") is None
    assert metadata.get_all("€") == []
    with pytest.raises(KeyError):
        del metadata["€"]


def test_what_is_not_base64_gives_no_bytes() -> None:
    assert from_base64(b"A") == b""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("a b", "x"),
        ("a\r\nb", "x"),
        ("x", "a\r\nb: c"),
        ("x", "\x00"),
        ("x", "é"),
        ("x", " padded "),
        ("x", b"bytes"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("connect-timeout-ms", "1"),
        ("trailer-x", "1"),
    ],
)
def test_a_field_that_cannot_be_sent_is_refused(name: str, value: str | bytes) -> None:
    with pytest.raises(ConfigError):
        Metadata([(name, value)])
    with pytest.raises(ConfigError):
        Metadata()[name] = value


def test_its_repr_does_not_show_values() -> None:
    assert "secret" not in repr(Metadata({"authorization": "secret"}))
