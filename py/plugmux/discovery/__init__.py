"""Plugins that are looked up: in directories, in entry points and on PATH. Not loaded for a runtime of commands."""

from .directory import default_path, expand, find_plugins
from .names import EntryPoint
from .on_path import OnPath
from .sources import Directory, Installed

__all__ = ["Directory", "EntryPoint", "Installed", "OnPath", "default_path", "expand", "find_plugins"]
