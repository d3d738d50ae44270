"""What a new project is called, and what its templates are told."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..contract.version import VERSION
from ..errors import ConfigError

__all__ = ["ALL", "KINDS", "LANGUAGES", "LICENSES", "Project", "installed_version"]

LANGUAGES = ("python", "go", "ts")
ALL = "all"
"""In place of a language: a host in Python with the plugin in every language."""

KINDS = ("service", "secrets", "app")
LICENSES = ("Apache-2.0", "MIT", "none")

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MAX_PROJECT_NAME = 50
GO_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*(/[A-Za-z0-9_][A-Za-z0-9._~-]*)*")
UNQUOTED = re.compile(r"""['"$#\\\n]""")
TAKEN = sys.stdlib_module_names | {"plugmux", "google", "tests"}
"""Modules that one of the project's own would hide."""


@dataclass(frozen=True, slots=True)
class Project:
    """A project to be made.

    Args:
        name: lower-case words with hyphens between them.
        language: one of `LANGUAGES`, or `ALL`.
        kind: what the plugin serves, one of `KINDS`: an RPC service, secrets, or plain HTTP.
        license: one of `LICENSES`.
        sdk: a checkout of plugmux that the project uses in place of the released packages.
        go_module: the path of the Go module; `example.com/NAME` by default.

    Raises:
        ConfigError: a value is not valid, or the language's SDK does not serve this kind.
    """

    name: str
    language: str
    kind: str = "service"
    license: str = "Apache-2.0"
    sdk: Path | None = None
    go_module: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > MAX_PROJECT_NAME:
            raise ConfigError(
                f"{self.name!r} cannot be a project's name: take lower-case letters and digits, in words with hyphens "
                f"between them, {MAX_PROJECT_NAME} characters at most, as in key-value"
            )
        if self.module in TAKEN or keyword.iskeyword(self.module):
            raise ConfigError(f"{self.name!r} cannot be a project's name: it is that of a Python module or keyword")
        for value, known in ((self.language, (*LANGUAGES, ALL)), (self.kind, KINDS), (self.license, LICENSES)):
            if value not in known:
                raise ConfigError(f"{value!r} is none of {', '.join(known)}")
        if self.kind != "service" and self.language == ALL:
            raise ConfigError("--lang all makes a project whose plugins serve RPCs: leave --kind out")
        if self.kind == "app" and self.language == "ts":
            raise ConfigError("the TypeScript SDK serves RPCs and secrets, and no plain HTTP: choose another --kind")
        if UNQUOTED.search(str(self.sdk or "")):
            raise ConfigError(f"the checkout's path {str(self.sdk)!r} cannot stand in a Makefile: move it to another")
        if self.go_module and not GO_MODULE.fullmatch(self.go_module):
            raise ConfigError(f"{self.go_module!r} cannot be the path of a Go module")

    @property
    def module(self) -> str:
        """The name as that of a Python module and of a proto package."""
        return self.name.replace("-", "_")

    @property
    def service(self) -> str:
        """The name of the RPC service."""
        words = "".join(word.capitalize() for word in self.name.split("-"))
        return words if words.endswith("Service") and words != "Service" else f"{words}Service"

    @property
    def variables(self) -> dict[str, str]:
        """What stands in the templates."""
        return {
            "name": self.name,
            "module": self.module,
            "language": self.language,
            "kind": self.kind,
            "license": self.license,
            "plugmux": VERSION,
            "sdk": "" if self.sdk is None else str(self.sdk),
            "service": self.service,
            "client": f"{self.service.removesuffix('Service')}Client",
            "go_module": self.go_module or f"example.com/{self.name}",
            "go_package": f"{self.module}v1",  # as buf names it
            "protobuf": installed_version("protobuf"),
            "grpcio_tools": installed_version("grpcio-tools"),
        }


def installed_version(distribution: str) -> str:
    """The version in which a distribution is installed, empty where it is not."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
