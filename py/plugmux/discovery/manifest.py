"""A manifest: what a file beside a plugin says of it, read and checked before anything of the plugin is started.

    # kv.plugmux.toml
    name = "kv"                                # by default what stands before .plugmux.toml, or the folder's name
    version = "1.2.0"
    command = ["python3", "kv.py", "--fast"]   # by default the file of the plugin's name
    services = ["kv.v1.KeyValueService"]       # what it must serve, and the most that it may
    secrets = ["vault/**"]                     # the most that it may provide, as a secrets provider
    access_control = false                     # whether it decides on access to secrets
    protocol_versions = [1, 2]
    checksum = "sha256:..."                    # of the file that is run: here kv.py

    [env]
    LEVEL = "debug"

    [configuration]                            # what configuration it takes
    reloadable = true
    schema = { type = "object" }               # or the name of a JSON file beside

The first word of the command that names a file beside the manifest, and no interpreter, is the file that is run. It is
given by its whole path, as is an interpreter before it that lies there; a first word that names no such file is a
program on PATH.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..contract.claims import ManifestClaims
from ..contract.grant import Grant
from ..contract.nesting import TooDeep, check_value_depth
from ..contract.registration import MAX_SCHEMA, NAME, SERVICE, Configuration
from ..contract.schema import Schema
from ..contract.semver import Version
from ..errors import ConfigError
from ..platform import open_trusted_file
from ..runtime.source import is_interpreter

__all__ = ["BadManifest", "Manifest", "SUFFIX", "WHOLE_NAME"]

SUFFIX = ".plugmux.toml"
WHOLE_NAME = "plugmux.toml"
MAX_MANIFEST = 65_536
"""Bytes that a manifest may have."""

MAX_DOTS = 64
"""Dots that may stand in keys, in one line of a manifest: the work of reading them grows with their square, and that of
reading a table with the parts of its name."""

_CHECKSUM = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)

Value = TypeVar("Value")


class BadManifest(ConfigError):
    """A manifest cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says.

    Args:
        path: the manifest's file.
        name: the plugin's name.
        command: the command, with the whole paths of its files.
        file: the file that is run.
        interpreters: files of the command that stand before it.
        checksum: the SHA-256 of that file, in hexadecimal digits; empty where none is given.
        env: environment variables to set.
        claims: what it says of the version, the services, the protocol and the configuration.
    """

    path: Path
    name: str
    command: tuple[str, ...]
    file: Path
    interpreters: tuple[Path, ...] = ()
    checksum: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    claims: ManifestClaims = field(default_factory=ManifestClaims)

    @classmethod
    def read(cls, path: Path, name: str) -> Manifest:
        """Read a manifest.

        Args:
            path: the manifest's file.
            name: the plugin's name, where the manifest gives none.

        Raises:
            BadManifest: it cannot be read, a key is not known, or a value is not what it must be.
            UntrustedPath: another user can change it, or the schema that it names; nothing of it has been parsed.
        """
        table = _Table(path, "", _parse(path))
        name = table.take("name", _name) or name
        command = table.take("command", _command) or (name,)
        declared = table.take("configuration", dict)
        version = table.take("version", Version.parse)
        services = table.take("services", _services)
        secrets = table.take("secrets", _secrets)
        access_control = bool(table.take("access_control", _flag))
        protocol_versions = table.take("protocol_versions", _protocol_versions) or ()
        checksum = (table.take("checksum", _checksum) or "").removeprefix("sha256:")
        env = table.take("env", _env) or {}
        table.finish()
        files = _files_of(path, command)
        *interpreters, file = files.values()
        return cls(
            path=path,
            name=name,
            command=tuple(str(files.get(place, word)) for place, word in enumerate(command)),
            file=file,
            interpreters=tuple(interpreters),
            checksum=checksum,
            env=env,
            claims=ManifestClaims(
                version=version,
                services=services or (),
                protocol_versions=protocol_versions,
                configuration=None if declared is None else _configuration(path, declared),
                grant=Grant.of(services, secrets, access_control, "its manifest"),
            ),
        )


def _parse(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        text = _read(path, MAX_MANIFEST)
        if any(_key_dots(line) > MAX_DOTS for line in text.split("\n")):
            raise BadManifest(f"the manifest {path} has keys with over {MAX_DOTS} dots in a line")
        values = tomllib.loads(text)
        check_value_depth(values)
    except OSError as error:
        raise BadManifest(f"the manifest {path} cannot be read: {error.strerror}") from None
    except (RecursionError, TooDeep):
        raise BadManifest(f"the manifest {path} is nested too deeply") from None
    except ValueError as error:  # Not TOML, or not UTF-8.
        if isinstance(error, BadManifest):
            raise
        raise BadManifest(f"the manifest {path} is not TOML: {error}") from None
    return values


def _key_dots(line: str) -> int:
    """How many dots the keys of a line have; where quotes or inline tables stand, how many the whole line has."""
    key, equals, _ = line.partition("=")
    if line.lstrip().startswith("["):
        return line.count(".")
    if not equals:
        return 0  # No line has a key without one.
    return line.count(".") if "{" in line or '"' in key or "'" in key else key.count(".")


def _read(path: Path, limit: int) -> str:
    """The text of a file that no other user can change; of at most `limit` bytes.

    Raises:
        BadManifest: it is too long.
        OSError: it cannot be read.
        UntrustedPath: another user can change it.
        ValueError: it is not UTF-8.
    """
    with os.fdopen(open_trusted_file(path).fd, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise BadManifest(f"the file {path} has over {limit} bytes")
    return data.decode()


class _Table:
    """A table of a manifest from which keys are taken one by one; what is left in the end is not known."""

    def __init__(self, path: Path, prefix: str, values: Mapping[str, Any]) -> None:
        self._path = path
        self._prefix = prefix
        self._values = dict(values)
        self._known: list[str] = []

    def take(self, key: str, read: Callable[[Any], Value]) -> Value | None:
        self._known.append(key)
        if key not in self._values:
            return None
        try:
            return read(self._values.pop(key))
        except (ConfigError, TypeError, ValueError) as error:
            raise BadManifest(f"the manifest {self._path}: {self._prefix}{key}: {error}") from None

    def finish(self) -> None:
        for key in self._values:
            known = ", ".join(self._known)
            raise BadManifest(
                f"the manifest {self._path}: the key {self._prefix + key!r} is not known (known: {known})"
            )


def _configuration(path: Path, values: Mapping[str, Any]) -> Configuration:
    table = _Table(path, "configuration.", values)
    found = Configuration(
        json_schema=table.take("schema", lambda value: _schema(path, value)) or "",
        message_type=table.take("message_type", _text) or "",
        reloadable=bool(table.take("reloadable", _flag)),
    )
    table.finish()
    return found


def _schema(path: Path, value: Any) -> str:
    try:
        check_value_depth(value)
        text = _read(path.parent / value, MAX_SCHEMA) if isinstance(value, str) else json.dumps(value)
    except OSError as error:
        raise ConfigError(f"{value!r} cannot be read: {error.strerror}") from None
    Schema.parse(text)
    return text


def _files_of(path: Path, command: tuple[str, ...]) -> dict[int, Path]:
    """The files beside a manifest that its command names, by their place in it, up to the one that is run."""
    folder, found = path.parent, dict[int, Path]()
    for place, word in enumerate(command):
        file = folder / word
        if os.path.isfile(file):  # It says no of a word that is longer than a file's name may be.
            found[place] = file.absolute()
            if not is_interpreter(file.name):
                return found
    if not found:
        raise BadManifest(f"the manifest {path}: command: none of {list(command)} is a file in {folder}")
    first = next(iter(found))
    return {first: found[first]}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError("it must be text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("it must be true or false")
    return value


def _name(value: Any) -> str:
    if not NAME.fullmatch(_text(value)):
        raise ConfigError(f"{value[:140]!r} is no plugin name: letters, digits and ._+@- only, at most 128")
    return str(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigError("it must be an array")
    return value


def _command(value: Any) -> tuple[str, ...]:
    words = tuple(_text(word) for word in _list(value))
    if not words or not words[0]:
        raise ConfigError("it is empty")
    if any("\0" in word for word in words):
        raise ConfigError("a word has a zero byte in it")
    return words


def _services(value: Any) -> tuple[str, ...]:
    services = tuple(_text(service) for service in _list(value))
    for service in services:
        if not SERVICE.fullmatch(service):
            raise ConfigError(f"{service[:140]!r} is not the full name of a proto service")
    return services


def _secrets(value: Any) -> tuple[str, ...]:
    patterns = tuple(_text(pattern) for pattern in ([value] if isinstance(value, str) else _list(value)))
    Grant(secrets=patterns)
    return patterns


def _protocol_versions(value: Any) -> tuple[int, ...]:
    versions = tuple(_list(value))
    if not versions or any(not isinstance(version, int) or version < 1 for version in versions):
        raise ConfigError("it must hold whole numbers from 1")
    return versions


def _checksum(value: Any) -> str:
    if not _CHECKSUM.fullmatch(_text(value)):
        raise ConfigError('it must be "sha256:" and 64 hexadecimal digits in lower case')
    return str(value)


def _env(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ConfigError("it must be a table")
    for name, text in value.items():
        if not name or "=" in name or "\0" in name + _text(text):
            raise ConfigError(f"{name[:140]!r} and its value cannot be in an environment")
    return dict(value)
