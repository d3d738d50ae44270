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
        "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM TMPDIR TEMP TMP PWD "
        "LD_LIBRARY_PATH DYLD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS "
        "PYTHONPATH PYTHONHOME PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE PYTHONUTF8 PYTHONASYNCIODEBUG VIRTUAL_ENV "
        "NODE_PATH GOMAXPROCS GODEBUG "
        "SYSTEMROOT SYSTEMDRIVE WINDIR COMSPEC PATHEXT APPDATA LOCALAPPDATA PROGRAMDATA PROGRAMFILES USERPROFILE "
        "USERNAME HOMEDRIVE HOMEPATH NUMBER_OF_PROCESSORS PROCESSOR_ARCHITECTURE"
    ).split()
)
"""Names that pass by themselves."""

SAFE_PREFIXES = ("LC_", "XDG_")


def plugin_environment(host: Mapping[str, str], explicit: Mapping[str, str | None], plugin: str) -> dict[str, str]:
    """The environment of a plugin.

    Args:
        host: the host's own environment.
        explicit: what the launch sets; `None` as a value removes a variable.
        plugin: the plugin's name, for the log.
    """
    passed = {name: value for name, value in host.items() if name in SAFE or name.startswith(SAFE_PREFIXES)}
    dropped = sorted(host.keys() - passed.keys() - explicit.keys())
    if dropped and logger.isEnabledFor(logging.DEBUG):
        logger.debug("plugin %s: not passed on to it: %s", plugin, ", ".join(dropped))
    for name, value in explicit.items():
        if value is None:
            passed.pop(name, None)
        else:
            passed[name] = value
    return passed
