"""Plugins that are Python objects: an entry point of an installed distribution, or `module:object`.

Both are run by `python -m plugmux.plugin`, with the host's own interpreter and with the modules that the host finds.
"""

from __future__ import annotations

import logging
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from ..contract.registration import NAME
from ..errors import ConfigError
from ..runtime.source import Launch

__all__ = ["GROUP", "PythonPlugin", "entry_points", "launch_object"]

GROUP = "plugmux.plugins"
"""The group of entry points in which a distribution names its plugins."""

logger = logging.getLogger("plugmux.runtime")


@dataclass(frozen=True, slots=True)
class PythonPlugin:
    """A plugin that an installed distribution names in its entry points.

    Args:
        name: the plugin's name, that of the entry point.
        target: the object, `module:object`.
        distribution: the name of the distribution.
        version: the version of the distribution.
        folder: where it is installed.
    """

    name: str
    target: str
    distribution: str
    version: str
    folder: str

    fingerprint = ()

    @property
    def launch(self) -> Launch:
        """Starts it."""
        return launch_object(self.target, name=self.name)

    def __str__(self) -> str:
        return f"{self.target} of {self.distribution} {self.version}"


def entry_points() -> list[PythonPlugin]:
    """The plugins that installed distributions name, sorted by name. One that cannot be read is left out and logged."""
    found: list[PythonPlugin] = []
    seen = set[str]()
    for distribution in metadata.distributions():
        try:
            said = distribution.metadata["Name"]
            if not said or (key := said.lower().replace("_", "-")) in seen:
                continue  # The first on the path is the one that is imported.
            seen.add(key)
            found += _of(distribution, said)
        except Exception as error:  # Whatever lies in the metadata of one distribution, the others are of use.
            logger.warning("no plugins from the metadata of a distribution: %r", error)
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def _of(distribution: metadata.Distribution, name: str) -> Iterator[PythonPlugin]:
    for each in distribution.entry_points:
        if each.group == GROUP and NAME.fullmatch(each.name):
            target = each.value.partition("[")[0].strip()
            yield PythonPlugin(each.name, target, name, distribution.version, str(distribution.locate_file("")))


def launch_object(target: str, *arguments: str, name: str = "") -> Launch:
    """The launch of a Python object.

    Args:
        target: `module:object`.
        arguments: what its program finds in `sys.argv`.
        name: the plugin's name; by default that of the module, or of its package where it is called `plugin` or `main`.

    Raises:
        ConfigError: the host does not know its own interpreter, or the name is not a plugin's.
    """
    if not sys.executable:
        raise ConfigError(f"{target!r} needs the host's own Python, which it does not know (sys.executable is empty)")
    words = [word for word in target.partition(":")[0].split(".") if word not in ("plugin", "main", "__main__")]
    command = [sys.executable, "-P", "-m", "plugmux.plugin", target, *arguments]
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join(dict.fromkeys([*_extra_path(), *filter(None, own)]))
    return Launch(command, name or (words or ["plugin"])[-1], env={"PYTHONPATH": path} if path else {})


def _extra_path() -> Iterator[str]:
    """The host's module path without what the same interpreter finds by itself."""
    paths = sysconfig.get_paths()
    own = [paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    own += filter(None, [getattr(site, "USER_SITE", None)])
    archive = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    for entry in sys.path:
        folder = os.path.abspath(entry or os.curdir)
        inside = any(folder == place or folder.startswith(place + os.sep) for place in own)
        if not inside and os.path.basename(folder) != archive:
            yield folder
