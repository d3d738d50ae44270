"""Which environment variables a launched plugin gets.

By default: those that programs need to run at all, none that may carry the host's own secrets. What a `Launch` sets
explicitly wins; what was left out is logged by name at debug level.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

__all__ = ["SAFE", "SAFE_PREFIXES", "plugin_environment"]

logger = logging.getLogger("plugmux.runtime")

SAFE = frozenset(
    (
        # what programs need everywhere
        "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM TMPDIR TEMP TMP PWD "
        # where libraries and certificates are
        "LD_LIBRARY_PATH DYLD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS "
        # what the languages of plugins read
        "PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONUTF8 PYTHONASYNCIODEBUG VIRTUAL_ENV "
        "NODE_PATH GOMAXPROCS GODEBUG "
        # without which little runs on Windows
        "SYSTEMROOT SYSTEMDRIVE WINDIR OS COMSPEC PATHEXT APPDATA LOCALAPPDATA ALLUSERSPROFILE PROGRAMDATA "
        "PROGRAMFILES PROGRAMFILES(X86) PROGRAMW6432 COMMONPROGRAMFILES USERPROFILE PUBLIC USERNAME USERDOMAIN "
        "COMPUTERNAME HOMEDRIVE HOMEPATH NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE"
    ).split()
)
"""Names that pass by themselves; docs/launching.md lists them."""

SAFE_PREFIXES = ("LC_", "XDG_")
WITHHELD = "XDG_RUNTIME_DIR"
"""Where the sockets of the user's services are, that of the user's plugmux runtime among them."""


def plugin_environment(host: Mapping[str, str], explicit: Mapping[str, str | None], plugin: str) -> dict[str, str]:
    """The environment of a plugin.

    Args:
        host: the host's own environment.
        explicit: what the launch sets; `None` as a value removes a variable.
        plugin: the plugin's name, for the log.
    """
    passed = {name: value for name, value in host.items() if _passes(name)}
    dropped = sorted(host.keys() - passed.keys() - explicit.keys())
    if dropped and logger.isEnabledFor(logging.DEBUG):
        logger.debug("plugin %s: not passed on to it: %s", plugin, ", ".join(dropped))
    for name, value in explicit.items():
        if value is None:
            passed.pop(name, None)
        else:
            passed[name] = value
    return passed


def _passes(name: str) -> bool:
    return name in SAFE or (name.startswith(SAFE_PREFIXES) and name != WITHHELD)
