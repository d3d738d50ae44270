"""Compiles the hot modules of the wheel with mypyc, where `PLUGMUX_COMPILE=1` asks for it.

By default the wheel is `py3-none-any`. A compiled wheel has the same source beside what was compiled from it.
pyproject.toml names the modules, under `[tool.hatch.build.targets.wheel.hooks.custom]`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NEEDED = ["mypy==2.4.1", "setuptools>=70", "types-protobuf", "protobuf>=6.30,<8", "h11>=0.16,<1"]
"""What compiling takes, beside a C compiler; the types of dependencies are those that mypy checks."""
SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

modules = sys.argv[1:]
sys.argv = ["setup.py", "--quiet", "build_ext", "--inplace"]
# `make lint` checks the types strictly; here they only serve to compile, and what they import need not be installed.
options = ["--ignore-missing-imports", "--follow-imports=silent", "--explicit-package-bases", *modules]
setup(name="plugmux", packages=[], ext_modules=mypycify(options, opt_level="2", debug_level="0", group_name="plugmux"))
"""


class CompileHook(BuildHookInterface[Any]):
    """The hook that hatchling calls."""

    def dependencies(self) -> list[str]:
        """What hatchling installs before it builds."""
        return NEEDED if _asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the modules and put them into the wheel; an editable install stays as the checkout is."""
        if not _asked() or version == "editable":
            return
        folder = Path(tempfile.mkdtemp(prefix="plugmux-compile-"))
        self._folder = folder
        shutil.copytree(Path(self.root, "py", "plugmux"), folder / "plugmux", ignore=shutil.ignore_patterns("*.so"))
        modules = [f"plugmux/{module}.py" for module in self.config["modules"]]
        try:
            subprocess.run(  # noqa: S603 -- this interpreter, and names from pyproject.toml
                [sys.executable, "-c", SETUP, *modules],
                cwd=folder,
                env={**os.environ, "MYPYPATH": str(Path(self.root, "gen", "python"))},
                check=True,
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        built = [path for pattern in ("*.so", "*.pyd") for path in folder.rglob(pattern) if "build" not in path.parts]
        for path in built:
            build_data["force_include"][str(path)] = str(path.relative_to(folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled, which the wheel has now."""
        folder = getattr(self, "_folder", None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _asked() -> bool:
    return os.environ.get("PLUGMUX_COMPILE", "") == "1"
