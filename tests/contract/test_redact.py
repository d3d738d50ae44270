"""Errors of a configuration repeat none of its values, however they are written."""

from __future__ import annotations

import json

import pytest

from plugmux.contract.redact import HIDDEN, describe_fault, redact
from plugmux.dynamic.masking import masked_text

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n9w0BAQEFAASCBKcw\n-----END PRIVATE KEY-----\n"
VALUES = ["hunter2", KEY, "pass\\word", "it's", 'a "quoted" one', "pässwörd", "two  blanks", "tab\tbed", "\udcff raw"]


def written(value: str) -> list[str]:
    """How errors write a value."""
    return [
        f"cannot parse {value}",
        f"cannot parse {value!r}",
        f"cannot parse {value.encode('utf-8', 'surrogatepass')!r}",
        f"cannot parse {json.dumps(value)}",
        f"cannot parse {json.dumps(value, ensure_ascii=False)}",
    ]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_found_however_it_is_written(value: str) -> None:
    configuration = json.dumps({"inner": [{"password": value}]})
    for text in written(value):
        assert redact(text, configuration) == HIDDEN
        assert describe_fault(ValueError(text), configuration) == f"ValueError: {HIDDEN}"


@pytest.mark.parametrize("value", VALUES)
def test_a_secret_is_masked_however_it_is_written(value: str) -> None:
    for text in written(value):
        shown = masked_text(text, [value])
        assert shown.startswith("cannot parse ")
        assert "****" in shown
        assert not any(
            word in shown for word in ("hunter2", "MIIEvQ", "ASCBK", "word", "quoted", "wörd", "blanks", "raw")
        )


def test_one_line_of_a_value_of_several_is_found() -> None:
    text = "bad base64 in line 2: 'MIIEvQIBADANBgkq'"
    assert redact(text, json.dumps({"key": KEY})) == HIDDEN
    assert masked_text(text, [KEY]) == "bad base64 in line 2: '****'"


def test_what_repeats_nothing_is_shown_as_it_is() -> None:
    text = "the  file of the key\nis missing"
    assert redact(text, json.dumps({"key": KEY, "short": "key"})) == text
