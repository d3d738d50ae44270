"""The checkout of plugmux that a new project uses until there is a release: the one that plugmux has come from."""

from __future__ import annotations

import json
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

__all__ = ["find_checkout", "is_checkout"]

SOURCES = Path(__file__).parents[3]
"""Where plugmux' own sources are, if it runs from a checkout."""


def find_checkout(sources: Path = SOURCES, name: str = "plugmux") -> Path | None:
    """The checkout that plugmux runs from, or was installed from by its path, editable or not; otherwise `None`."""
    try:
        installed = _installed_from(Distribution.from_name(name))
    except PackageNotFoundError:
        installed = None
    return next((folder for folder in (sources, installed) if folder is not None and is_checkout(folder)), None)


def is_checkout(folder: Path) -> bool:
    """Whether a folder has what a project needs of a checkout."""
    return all((folder / file).is_file() for file in ("pyproject.toml", "go.mod", "ts/package.json"))


def _installed_from(distribution: Distribution) -> Path | None:
    """Where the installer took it from, as it has noted (PEP 610), if that is a path."""
    noted = json.loads(distribution.read_text("direct_url.json") or "{}")
    url = urlsplit(noted.get("url", ""))
    return Path(url2pathname(url.path)) if url.scheme == "file" else None
