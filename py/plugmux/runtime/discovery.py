"""The plugins in a directory: every executable file in it, not recursive. (wire.md section 5.)"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from ..errors import ConfigError
from .source import Launch

__all__ = ["find_plugins"]

logger = logging.getLogger("plugmux.runtime")


def find_plugins(directory: str | os.PathLike[str]) -> list[Launch]:
    """A launch for each executable file in a directory, sorted by file name.

    Args:
        directory: where to look; where it is missing there are no plugins, and a warning says so.
    """
    path = Path(directory)
    try:
        files = sorted(file for file in path.iterdir() if file.is_file() and os.access(file, os.X_OK))
    except OSError as error:
        logger.warning("no plugins from the directory %s: %s", path, error.strerror)
        return []
    found = []
    for file in files:
        try:
            found.append(Launch([str(file.absolute())]))
        except ConfigError as error:
            logger.warning("left out of the plugin directory: %s", error)
    return found
