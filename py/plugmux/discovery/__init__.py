"""Plugins that are found in directories, by name and version. Not loaded where a runtime is given commands."""

from .directory import default_path, expand, find_plugins
from .sources import Directory, Installed

__all__ = ["Directory", "Installed", "default_path", "expand", "find_plugins"]
