"""`plugmux dev` replaces a plugin in each language when a watched file changes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from support.tools import LANGUAGES, example_plugin


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_change_replaces_the_plugin(language: str, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.touch()
    options = ["--listen", f"unix:{tmp_path}/s", "--watch", str(watched)]
    command = [sys.executable, "-m", "plugmux.cli", "dev", *options, shlex.join(example_plugin(language))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("listening on" in line for line in process.stderr)
        watched.write_text("1")
        assert any(f"replaced {language}-plugin by v" in line for line in process.stderr)
        process.terminate()
        process.communicate()
    assert process.returncode == 0
