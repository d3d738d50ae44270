"""Which section of the troubleshooting page an error of the command line leads to, by the words that it has."""

from __future__ import annotations

from ...errors import TROUBLESHOOTING

__all__ = ["TOPICS", "address_of"]

TOPICS = {
    "no runtime found": "no-runtime",
    "took the connection, but did not answer": "silent-runtime",
    "answer is of no use": "unusable-answer",
    "neither of this user": "untrusted-runtime",
    "is no user of this system": "unknown-user",
    "the address ": "bad-address",
    "an address holds no user": "bad-address",
    "the socket name ": "bad-address",
    "cannot listen at": "cannot-listen",
    "a runtime listens at": "cannot-listen",
    "exists and is no socket": "cannot-listen",
    "is not of the form": "wrong-form",
    "plugins are named": "same-name",
    "cannot be a plugin's name": "bad-name",
    "cannot be a name: the CA has it": "name-of-the-ca",
    "cannot be split": "bad-command",
    "command is empty": "bad-command",
    "takes the command of a plugin": "bad-command",
    "is a plugin that runs already": "bad-command",
    "takes the NAME of a plugin": "bad-switch",
    "plugins does not know": "bad-switch",
    "--config": "bad-configuration-file",
    "has no method": "no-method",
    "no plugin serves": "no-service",
    "all serve": "several-serve",
    "does not run:": "not-running",
    "does not tell what": "no-reflection",
    "takes exactly one message": "bad-request",
    "the request ": "bad-request",
    "--request": "bad-request",
    "there is no check": "no-check",
    "argcomplete": "missing-extra",
    "grpcio-tools": "missing-extra",
    "needs jinja2": "missing-extra",
    "there is no program": "missing-program",
    "did not end within": "tool-failed",
    "failed with status": "tool-failed",
    "is there already, and not empty": "folder-in-use",
    "is no checkout of plugmux": "no-checkout",
    "there is no such file or directory": "no-such-file",
    "there is no such directory": "no-such-file",
    "is for plugins that the command launches": "for-launched-plugins",
    "it takes --json alone": "wrong-form",
    "or --connect, not both": "wrong-form",
    "there was no answer within": "no-answer",
    "stdout is closed": "stdout-closed",
}
"""Words of errors, most of them ours, and the anchors of the sections that say more. The first that fits counts."""


def address_of(message: str) -> str | None:
    """Where the documentation says more about an error.

    Args:
        message: the error, as it is printed.

    Returns:
        The address; `None` where the message has one already, or no section fits.
    """
    if TROUBLESHOOTING in message:
        return None
    return next((f"{TROUBLESHOOTING}#{topic}" for words, topic in TOPICS.items() if words in message), None)
