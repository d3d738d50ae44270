"""What the library advises its callers, said so that it can be done on the command line."""

from __future__ import annotations

import re

__all__ = ["worded"]

ADVICE = {
    "give it more time (Launch(timeout=...), or Timeouts.registration for all plugins)": "give it more time "
    "(--startup-timeout)",
    "start it again (runtime.enable), or make a new runtime where this one is closed": "start it again "
    "(plugmux plugins enable NAME)",
    "see its log for why it ended": "see what it logs (-v) for why it ended",
    "enable it first (runtime.enable)": "enable it first (plugmux plugins enable NAME)",
    "runtime.plugins() tells the names and services that there are": "see plugmux plugins for the names and services "
    "that there are",
    "name the plugin that is meant (plugin=..., the header plugmux-plugin over HTTP)": "choose one with --name",
    "a proxy (Permissions.proxies)": "a proxy (--proxy, or proxies in the file of --config-file)",
    "the server's log says why": "the server's log says why (on stderr with --plugin, else see plugmux logs)",
}
"""The library's words, and ours."""

CONFIGURATION = re.compile(r"Runtime\(configuration=\{[^}]*\}\)")


def worded(text: object) -> str:
    """A message of the library's with advice that fits the command line."""
    message = str(text)
    for theirs, ours in ADVICE.items():
        message = message.replace(theirs, ours)
    return CONFIGURATION.sub("give it one with --config", message)
