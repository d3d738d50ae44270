"""The plugins that lie in directories: which there are, and which of them is the one that is wanted.

What counts in a plugin directory `D`:

    D/kv                        an executable file: plugin kv, of a version that is known when it registers
    D/kv.plugmux.toml           a manifest, for what is no executable file or has more to be said of it
    D/kv/plugmux.toml           the same, with everything of the plugin in a folder of its own
    D/kv/1.2.0/kv               several versions side by side, each in a folder: an executable file of the plugin's
    D/kv/1.3.0/plugmux.toml     name, or a manifest

Nothing else in a folder is looked at, and what begins with a dot never is. A file that a manifest runs is no plugin
beside it.
"""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..contract.claims import ManifestClaims
from ..contract.registration import NAME
from ..contract.semver import Version
from ..errors import ConfigError, PluginCause, PluginError
from ..platform import UntrustedPath, can_be_executed
from ..runtime.source import Launch, name_of_command
from .manifest import SUFFIX, WHOLE_NAME, BadManifest, Manifest
from .permissions import FailedRunner, FileCheck, GuardedRunner
from .requirement import Requirement

__all__ = ["PATH_VARIABLE", "FoundInDirectory", "choose", "default_path", "expand", "find_plugins", "newest"]

PATH_VARIABLE = "PLUGMUX_PLUGIN_PATH"
"""Directories to look for plugins in before the program's and the user's own, separated as in PATH."""

logger = logging.getLogger("plugmux.runtime")


@dataclass(frozen=True, slots=True)
class FoundInDirectory:
    """A plugin that lies in a directory.

    Args:
        name: its name.
        version: its version; `None` where it will only be known when the plugin registers.
        path: the executable file, or the manifest.
        launch: starts it, after a check of its files; where something is wrong with it, the start tells that.
        file_check: what is checked; `None` where something is wrong already.
    """

    name: str
    version: Version | None
    path: Path
    launch: Launch
    file_check: FileCheck | None

    def __str__(self) -> str:
        return f"{self.name} {self.version or '(version not known)'} at {self.path}"

    @property
    def has_manifest(self) -> bool:
        """Whether it has a manifest."""
        return self.path.name.endswith(WHOLE_NAME)

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What changes when the plugin's files do."""
        files = self.file_check.files if self.file_check else (self.path,)
        return (self.path, *(_stamp(file) for file in files))


def default_path(environ: Mapping[str, str] = os.environ, program: str | None = None) -> list[str]:
    """Where plugins are looked for, in order: `$PLUGMUX_PLUGIN_PATH`, beside the program, in the user's data directory.

    The current directory is not among them: entering a directory should not run its programs.

    Args:
        environ: the environment.
        program: the path of the program; that of this process by default.
    """
    program = sys.argv[0] if program is None else program
    data = environ.get("XDG_DATA_HOME") or "~/.local/share"
    return [
        *filter(None, environ.get(PATH_VARIABLE, "").split(os.pathsep)),
        *(["{program}/plugins"] if os.path.isfile(program) else []),
        f"{data}/plugmux/plugins",
    ]


def expand(entries: Iterable[str | os.PathLike[str]], program: str | None = None) -> list[Path]:
    """The directories that the entries of a path name, in order, each once, without those that are missing.

    Args:
        entries: directories, in which `~` is the user's home, `{program}` the directory of the program, and `*`, `?`,
            `[...]` and `**` are what they are in a shell. A relative one is in the current directory.
        program: the path of the program; that of this process by default.
    """
    home = os.path.dirname(os.path.realpath(sys.argv[0] if program is None else program))
    found: dict[Path, None] = {}
    for entry in entries:
        pattern = os.path.expanduser(os.fspath(entry).replace("{program}", glob.escape(home)))
        for match in sorted(glob.glob(pattern, recursive=True)):
            if os.path.isdir(match):
                found.setdefault(Path(os.path.abspath(match)))
    return list(found)


def find_plugins(directory: str | os.PathLike[str]) -> list[FoundInDirectory]:
    """The plugins in a directory, sorted by name and version.

    Args:
        directory: where to look; where it is missing there are no plugins, and a warning says so.
    """
    top = Path(os.path.abspath(directory))
    try:
        entries = sorted(entry for entry in top.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        logger.warning("no plugins from the directory %s: %s", top, error.strerror)
        return []
    found = [plugin for entry in entries for plugin in _looked_at(top, entry)]
    spoken_for = {plugin.file_check.files[0] for plugin in found if plugin.file_check and plugin.has_manifest}
    faulty = {plugin.name for plugin in found if plugin.file_check is None}
    return sorted(
        (
            plugin
            for plugin in found
            if plugin.has_manifest
            or plugin.file_check is None
            or (plugin.path not in spoken_for and plugin.name not in faulty)
        ),
        key=lambda plugin: (plugin.name, plugin.version or Version(0)),
    )


def newest(found: Iterable[FoundInDirectory]) -> list[FoundInDirectory]:
    """Of each name the plugin with the highest version; of equal ones the first."""
    best: dict[str, FoundInDirectory] = {}
    for plugin in found:
        other = best.get(plugin.name)
        if other is None or _rank(plugin) > _rank(other):
            best[plugin.name] = plugin
    return list(best.values())


def choose(requirement: Requirement, found: Iterable[FoundInDirectory]) -> FoundInDirectory:
    """The plugin for a requirement: the highest version that fits, of equal ones the first.

    One whose version is not known is taken where no other fits, and is held to the range when it registers. Where
    nothing fits, the launch is one that fails and tells what there is.
    """
    named = [plugin for plugin in found if plugin.name == requirement.name]
    fitting = [plugin for plugin in named if plugin.version is None or requirement.range.includes(plugin.version)]
    if fitting:
        best = max(fitting, key=_rank)
        claims = replace(best.launch.claims, range=requirement.range)
        options = {**requirement.options, "env": {**best.launch.env, **requirement.options.get("env", {})}}
        return replace(best, launch=replace(best.launch, claims=claims, **options))
    there_is = "; there is " + ", ".join(map(str, named)) if named else "; there is none of that name"
    return _unusable(requirement.name, None, Path(), PluginCause.UNMET, f"no version fits {requirement}{there_is}")


def _rank(plugin: FoundInDirectory) -> tuple[bool, Version]:
    return plugin.version is not None, plugin.version or Version(0)


def _looked_at(top: Path, entry: Path) -> list[FoundInDirectory]:
    """The plugins of one entry; one that cannot be looked at is a plugin that cannot be used, and stops no other."""
    try:
        return list(_in_entry(top, entry))
    except OSError as error:
        name = entry.name.removesuffix(SUFFIX)
        detail = f"{error.filename or entry} cannot be looked at: {error.strerror}"
        return [_unusable(_usable_name(name), None, entry, PluginCause.NOT_FOUND, detail)]


def _in_entry(top: Path, entry: Path) -> Iterator[FoundInDirectory]:
    """The plugins of one entry of a plugin directory."""
    if entry.name.endswith(SUFFIX):
        yield _from_manifest(top, entry, entry.name.removesuffix(SUFFIX))
    elif entry.is_dir():
        if (entry / WHOLE_NAME).is_file():
            yield _from_manifest(top, entry / WHOLE_NAME, entry.name)
        else:
            yield from _versions(top, entry)
    elif entry.is_file() and can_be_executed(entry):
        yield from _from_file(top, entry, None)


def _versions(top: Path, folder: Path) -> Iterator[FoundInDirectory]:
    for inner in sorted(folder.iterdir()) if os.access(folder, os.R_OK | os.X_OK) else ():
        try:
            version = Version.parse(inner.name)
        except ConfigError:
            continue
        manifests = [inner / WHOLE_NAME, inner / f"{folder.name}{SUFFIX}"]
        if manifest := next((path for path in manifests if path.is_file()), None):
            yield _from_manifest(top, manifest, folder.name, version)
        elif (program := inner / folder.name).is_file() and can_be_executed(program):
            yield from _from_file(top, program, version)


def _from_file(top: Path, file: Path, version: Version | None) -> Iterator[FoundInDirectory]:
    name = name_of_command([str(file)])
    if not NAME.fullmatch(name):
        logger.warning("left out of the plugin directory: %s: %r cannot be a plugin's name", file, name)
        return
    file_check = FileCheck(name, top, (file,))
    launch = Launch((str(file),), name, runner=GuardedRunner(file_check), claims=ManifestClaims(version=version))
    yield FoundInDirectory(name, version, file, launch, file_check)


def _from_manifest(top: Path, path: Path, name: str, version: Version | None = None) -> FoundInDirectory:
    try:
        said = Manifest.read(path, name)
        _check_place(said, name, version)
    except BadManifest as error:
        return _unusable(_usable_name(name), version, path, PluginCause.BAD_MANIFEST, str(error))
    except UntrustedPath as error:
        return _unusable(_usable_name(name), version, path, PluginCause.UNTRUSTED, str(error))
    file_check = FileCheck(said.name, top, (said.file, path, *said.interpreters), said.checksum, str(path))
    claims = replace(said.claims, version=said.claims.version or version)
    launch = Launch(said.command, said.name, env=dict(said.env), runner=GuardedRunner(file_check), claims=claims)
    return FoundInDirectory(said.name, claims.version, path, launch, file_check)


def _usable_name(name: str) -> str:
    return name if NAME.fullmatch(name) else "unnamed"


def _check_place(said: Manifest, name: str, version: Version | None) -> None:
    """Check that a manifest agrees with the folder that it is in."""
    if version is None:
        return
    if said.name != name:
        raise BadManifest(f"the manifest {said.path}: name: it says {said.name!r}, and lies in a folder of {name!r}")
    if said.claims.version not in (None, version):
        raise BadManifest(
            f"the manifest {said.path}: version: it says {said.claims.version}, and lies in a folder of {version}"
        )


def _unusable(name: str, version: Version | None, path: Path, cause: PluginCause, detail: str) -> FoundInDirectory:
    launch = Launch((name,), name, runner=FailedRunner(PluginError(name, cause, detail)))
    return FoundInDirectory(name, version, path, launch, None)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        status = file.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode
