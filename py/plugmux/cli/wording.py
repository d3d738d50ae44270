"""What the library advises its callers, said so that it can be done on the command line."""

from __future__ import annotations

__all__ = ["worded"]

ADVICE = {
    "give it more time (timeout=...), or see what": "see what",
    "name the plugin that is meant (plugin=...)": "choose one with --name",
    "the server's log says why": "the server's log says why (on stderr with --plugin, else see plugmux logs)",
}
"""The library's words, and ours."""


def worded(text: object) -> str:
    """A message of the library's with advice that fits the command line."""
    message = str(text)
    for theirs, ours in ADVICE.items():
        message = message.replace(theirs, ours)
    return message
