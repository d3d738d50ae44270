"""The stand-in for docker's command line, put where a test finds it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from . import fake_docker

__all__ = ["Docker"]


class Docker:
    """The stand-in, on PATH as `docker`.

    Args:
        directory: where it keeps what it knows.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @classmethod
    def install(cls, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
        """Put it in front of everything else on PATH."""
        directory.mkdir()
        program = directory / "docker"
        program.write_text(f"#!{sys.executable}\n{Path(fake_docker.__file__).read_text()}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
        return cls(directory)

    @property
    def asked(self) -> list[list[str]]:
        """The arguments of every command so far."""
        return [json.loads(line) for line in (self._directory / "asked").read_text().splitlines()]

    @property
    def environments(self) -> list[dict[str, str]]:
        """The environment of every command so far."""
        return [json.loads(line) for line in (self._directory / "environments").read_text().splitlines()]

    @property
    def running(self) -> list[str]:
        """The names of the containers that run."""
        return [path.name for path in self._directory.iterdir() if path.name.startswith("plugmux-")]
