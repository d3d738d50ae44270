"""How a text of a peer is shown: what would steer the terminal, reorder the text or cannot be written is escaped."""

from __future__ import annotations

__all__ = ["ESCAPED", "STEERING", "printable"]

STEERING = (
    *range(0x20),
    *range(0x7F, 0xA0),
    0x061C,  # from here on: what reorders text, and what ends lines
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2066, 0x206A),
    0xFEFF,
    *range(0xD800, 0xE000),  # halves of characters
)
"""The numbers of the characters that are escaped."""

ESCAPED = {number: f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" for number in STEERING}
_IN_TEXT = {number: escaped for number, escaped in ESCAPED.items() if chr(number) not in "\t\n"}


def printable(text: str) -> str:
    """A text, of several lines as a rule, without what would steer the terminal that shows it."""
    return text if text.isprintable() else text.translate(_IN_TEXT)
