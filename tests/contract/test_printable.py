"""What a peer has written is shown so that it steers nothing."""

from __future__ import annotations

import pytest

from plugmux.contract.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc é 漢", "a\tb\nc é 漢"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb\x7f\x9b", "a\\x0db\\x7f\\x9b"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("\u2066\u200f\u2028\ufeff", "\\u2066\\u200f\\u2028\\ufeff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_would_steer_or_reorder_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
