"""Plugins in directories: which there are, which is chosen, what keeps one from being started, and how they change."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Directory, Installed, Launch, PluginCause, PluginError, Runtime
from plugmux.discovery.directory import FoundInDirectory, default_path, expand, find_plugins
from plugmux.discovery.permissions import FileCheck, GuardedRunner
from plugmux.errors import ConfigError
from plugmux.errors import PluginCause as Cause
from plugmux.runtime import Limits, State
from plugmux.runtime.logs.log import LogBook
from plugmux.runtime.source import as_source
from support.programs import kv_script, script

PLUGIN = """
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            return GetResponse(value=plugin.registration.version.encode())

    plugin = Plugin(Store(), **OPTIONS)
    plugin.run()
"""


def install(directory: Path, name: str, version: str) -> Path:
    """Put a version of a plugin beside others."""
    folder = directory / name / version
    folder.mkdir(parents=True)
    return Path(kv_script(folder, name, f"v{version}"))


@pytest.fixture(autouse=True)
def _umask() -> None:
    os.umask(0o022)


# -- which there are --------------------------------------------------------------------------------------------------


def test_executable_files_versions_and_manifests_are_found(tmp_path: Path) -> None:
    script(tmp_path, "plain", PLUGIN)
    (tmp_path / "notes.txt").write_text("no plugin")
    (tmp_path / ".hidden").mkdir()
    install(tmp_path, "kv", "1.10.0")
    install(tmp_path, "kv", "1.9.0")
    (tmp_path / "kv" / "current").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "plugmux.toml").write_text('command = ["python3", "run.py"]\nversion = "3.0.0"\n')
    (tmp_path / "folder" / "run.py").write_text("")
    script(tmp_path, "beside", PLUGIN)
    (tmp_path / "beside.plugmux.toml").write_text('version = "2.0.0"\n')
    found = [(plugin.name, str(plugin.version)) for plugin in find_plugins(tmp_path)]
    assert found == [("beside", "2.0.0"), ("folder", "3.0.0"), ("kv", "1.9.0"), ("kv", "1.10.0"), ("plain", "None")]


def test_the_path_is_the_variable_the_program_and_the_users_data(tmp_path: Path) -> None:
    program = script(tmp_path, "host", "")
    assert default_path({"PLUGMUX_PLUGIN_PATH": "/a:/b", "XDG_DATA_HOME": "/data"}, program) == [
        "/a",
        "/b",
        "{program}/plugins",
        "/data/plugmux/plugins",
    ]
    assert default_path({}, "-c") == ["~/.local/share/plugmux/plugins"]


def test_entries_of_a_path_stand_for_home_program_current_directory_and_globs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("home/p", "program/p", "here/p", "globs/a/p", "globs/b/p"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    entries: list[str | Path] = ["~/p", "{program}/p", "./p", tmp_path / "globs/*/p", "~/p", "absent"]
    found = expand(entries, str(tmp_path / "program/host"))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "home/p",
        "program/p",
        "here/p",
        "globs/a/p",
        "globs/b/p",
    ]


# -- which is chosen --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "chosen"), [("kv@^1.2", "v1.10.0"), ("kv@1.2", "v1.2.0"), ("kv@*", "v2.0.0"), ("kv@2", "v2.0.0")]
)
async def test_the_highest_version_that_fits_is_launched(tmp_path: Path, text: str, chosen: str) -> None:
    for version in ("1.2.0", "1.10.0", "2.0.0", "3.0.0-rc.1"):
        install(tmp_path, "kv", version)
    async with Runtime([Installed(text, path=[tmp_path])]) as runtime:
        assert runtime.plugin("kv").version == chosen
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="version"))).value == chosen.encode()


async def test_an_installed_plugin_is_launched_with_options(tmp_path: Path) -> None:
    install(tmp_path, "kv", "1.2.0")
    wanted = Installed("kv@^1.2", path=[tmp_path], replicas=2, env={"OWN": "1"}, limits=Limits(files=123))
    async with Runtime([wanted]) as runtime:
        replicas = runtime.plugins()
        assert [plugin.version for plugin in replicas] == ["v1.2.0", "v1.2.0"]
        for plugin in replicas:
            assert b"OWN=1" in Path(f"/proc/{plugin.pid}/environ").read_bytes().split(b"\0")
            assert "Max open files            123" in Path(f"/proc/{plugin.pid}/limits").read_text()


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("./kv", {}, "names no installed plugin: write NAME@VERSIONS"),
        ("kv@^1.2", {"runner": None}, r"runner of kv@\^1.2 come with the plugin"),
        ("kv@^1.2", {"replicas": 0}, "the number of replicas"),
    ],
)
def test_options_that_an_installed_plugin_cannot_have_are_refused(text: str, options: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Installed(text, **options)


async def test_a_plugin_directory_is_launched_in_the_highest_versions(tmp_path: Path) -> None:
    install(tmp_path, "kv", "1.2.0")
    install(tmp_path, "kv", "1.3.0")
    script(tmp_path, "plain", PLUGIN, version="v0.1.0")
    async with Runtime([Directory(tmp_path)]) as runtime:
        assert [(plugin.name, plugin.version) for plugin in runtime.plugins()] == [
            ("kv", "v1.3.0"),
            ("plain", "v0.1.0"),
        ]
        with pytest.raises(PluginError, match=r"there is kv 1.2.0 at .*, kv 1.3.0 at ") as caught:
            await runtime.replace("kv", Installed("kv@^2", path=[tmp_path]))
        assert caught.value.cause is PluginCause.UNMET
        assert (await runtime.replace("kv", Installed("kv@1.2.0", path=[tmp_path]))).version == "v1.2.0"


def test_text_may_name_a_plugin_by_versions() -> None:
    source = as_source("kv@^1.2")
    assert isinstance(source, Installed)
    assert str(source.requirement) == "kv@^1.2"
    assert as_source("./kv@1") == Launch(["./kv@1"], name="kv@1")
    with pytest.raises(ConfigError, match="not a range"):
        as_source("kv@new")


async def test_a_source_that_must_be_one_plugin_is_no_directory_of_several(tmp_path: Path) -> None:
    install(tmp_path, "kv", "1.0.0")
    install(tmp_path, "other", "1.0.0")
    async with Runtime() as runtime:
        with pytest.raises(ConfigError, match="finds kv, other; here it must find one plugin"):
            await runtime.launch(Directory(tmp_path))
        assert (await runtime.launch(Installed("kv@1", path=[tmp_path]))).version == "v1.0.0"


@pytest.mark.parametrize("watch", [-1.0, float("inf"), float("nan")])
def test_a_watch_that_cannot_be_is_refused(watch: float) -> None:
    for make in (lambda: Directory("plugins", watch=watch), lambda: Installed("kv@1", watch=watch)):
        with pytest.raises(ConfigError, match="watch is"):
            make()


# -- what keeps a plugin from being started ---------------------------------------------------------------------------

Prepare = Callable[[Path], object]


def manifest(text: str, **names: str) -> Prepare:
    def prepare(directory: Path) -> None:
        script(directory, "bad", "raise SystemExit('it was started')")
        (directory / "bad.plugmux.toml").write_text(text.format(**names))

    return prepare


def mode(path: str, bits: int) -> Prepare:
    def prepare(directory: Path) -> None:
        (directory / "bad").mkdir()
        script(directory / "bad", "bad", "raise SystemExit('it was started')")
        (directory / "bad" / "plugmux.toml").write_text("")
        (directory / path).chmod(bits)

    return prepare


def link_out(directory: Path) -> None:
    outside = directory.parent / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    (directory / "bad").symlink_to(script(outside, "bad", "raise SystemExit('it was started')"))


FAULTS: dict[str, tuple[Prepare, Cause, str]] = {
    "unmet range": (lambda directory: install(directory, "bad", "1.0.0"), Cause.UNMET, "bad@2.*there is bad 1.0.0 at"),
    "no such plugin": (lambda directory: None, Cause.UNMET, "none of that name"),
    "unknown key": (manifest('colour = "red"'), Cause.BAD_MANIFEST, "bad.plugmux.toml: the key 'colour' is not known"),
    "unknown inner key": (manifest("[configuration]\nreload = true"), Cause.BAD_MANIFEST, "'configuration.reload'"),
    "no TOML": (manifest("version = "), Cause.BAD_MANIFEST, "bad.plugmux.toml is not TOML"),
    "bad version": (manifest('version = "two"'), Cause.BAD_MANIFEST, "version: 'two' is not a semantic version"),
    "bad type": (manifest("services = 3"), Cause.BAD_MANIFEST, "services: it must be an array"),
    "bad command": (manifest('command = ["python3"]'), Cause.BAD_MANIFEST, "command: none of"),
    "bad checksum": (manifest('checksum = "md5:1"'), Cause.BAD_MANIFEST, "checksum: it must be"),
    "bad schema": (manifest('[configuration.schema]\ntype = "int"'), Cause.BAD_MANIFEST, "configuration.schema"),
    "wrong checksum": (manifest(f'checksum = "sha256:{"0" * 64}"'), Cause.CHECKSUM, "bad.plugmux.toml says: checksum"),
    "protocol": (manifest("protocol_versions = [7]"), Cause.REFUSED, "versions 7, the host 1: upgrade the host"),
    "writable file": (mode("bad/bad", 0o777), Cause.UNTRUSTED, "bad/bad can be written by others .mode 777"),
    "writable by group": (mode("bad/bad", 0o775), Cause.UNTRUSTED, "mode 775"),
    "writable folder": (mode("bad", 0o777), Cause.UNTRUSTED, "bad can be written by others"),
    "writable directory": (mode(".", 0o777), Cause.UNTRUSTED, "can be written by others"),
    "writable manifest": (mode("bad/plugmux.toml", 0o666), Cause.UNTRUSTED, "plugmux.toml can be written"),
    "link out": (link_out, Cause.UNTRUSTED, "outside can be written by others"),
    "configuration": (
        manifest('[configuration.schema]\nrequired = ["region"]'),
        Cause.BAD_CONFIGURATION,
        "configuration of plugin 'bad' is bad at /: it needs 'region'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_told_before_the_plugin_is_started_and_the_others_run_on(tmp_path: Path, fault: str) -> None:
    prepare, cause, told = FAULTS[fault]
    directory, good = tmp_path / "plugins", tmp_path / "good"
    directory.mkdir()
    prepare(directory)
    good.mkdir()
    install(good, "kv", "1.0.0")
    wanted = "bad@2" if cause is Cause.UNMET else "bad@*"
    async with Runtime(
        [Installed(wanted, path=[directory, good]), Installed("kv@1", path=[directory, good])]
    ) as runtime:
        bad = runtime.plugin("bad")
        assert bad.state is State.GAVE_UP
        assert bad.error is not None
        assert bad.error.cause is cause
        with pytest.raises(PluginError, match=told):
            raise bad.error
        assert "it was started" not in str(bad.error)
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="version"))).value == b"v1.0.0"


async def test_a_plugin_in_a_sticky_directory_is_not_started_where_others_can_put_a_module_beside_it(
    tmp_path: Path,
) -> None:
    shared, directory = tmp_path / "shared", tmp_path / "plugins"
    directory.mkdir()
    shared.mkdir()
    shared.chmod(0o1777)
    program = Path(script(shared, "bad", ""))
    (directory / "bad").symlink_to(program)
    file_check = FileCheck("bad", directory, (directory / "bad",))
    with pytest.raises(PluginError, match=r"shared can be written by others, and what lies") as caught:
        await file_check.check()
    assert caught.value.cause is PluginCause.UNTRUSTED
    program.write_bytes(b"\x7fELF and so on")
    await file_check.check()


def schema_in_a_pipe(directory: Path) -> None:
    os.mkfifo(directory / "pipe")
    manifest('[configuration]\nschema = "pipe"')(directory)


HARMFUL: dict[str, Prepare] = {
    "a word of 300 characters": manifest(f'command = ["{"w" * 300}"]'),
    "a zero byte in a word": manifest('command = ["bad", "\\u0000"]'),
    "a zero byte in a variable": manifest('env = {{ A = "\\u0000" }}'),
    "a variable without a name": manifest('env = {{ "" = "b" }}'),
    "a long dotted key": manifest(f"{'a.' * 30_000}a = 1"),
    "a long quoted key": manifest(f"""'='{".'='" * 15_000} = 1"""),
    "a long key in a table": manifest(f"env = {{{{ {'a.' * 30_000}a = 1 }}}}"),
    "a long name of a table": manifest(f"[{'a.' * 250}a]\n" + "\n".join(f"k{n} = 1" for n in range(7_000))),
    "deep arrays": manifest(f"services = {'[' * 30_000}"),
    "deep tables": manifest(f"env = {'{{a=' * 10_000}1{'}}' * 10_000}"),
    "not UTF-8": lambda directory: (directory / "bad.plugmux.toml").write_bytes(b"name = '\xff'"),
    "a pipe": lambda directory: os.mkfifo(directory / "bad.plugmux.toml"),
    "a directory": lambda directory: (directory / "bad.plugmux.toml").mkdir(),
    "a link to itself": lambda directory: (directory / "bad.plugmux.toml").symlink_to("bad.plugmux.toml"),
    "a schema in a pipe": schema_in_a_pipe,
}


@pytest.mark.timeout(30)  # What is read of a pipe never comes.
@pytest.mark.parametrize("harm", HARMFUL)
async def test_a_manifest_that_harms_is_an_error_of_its_own(tmp_path: Path, harm: str) -> None:
    HARMFUL[harm](tmp_path)
    install(tmp_path, "kv", "1.0.0")
    async with Runtime([Directory(tmp_path)]) as runtime:
        assert runtime.plugin("kv").error is None
        bad = runtime.plugin("bad").error
        assert bad is not None
        assert bad.cause is PluginCause.BAD_MANIFEST


def test_a_long_list_of_names_is_no_long_key(tmp_path: Path) -> None:
    services = [f"kv.v{n}.KeyValueService" for n in range(500)]
    manifest(f"services = {services}".replace("'", '"'))(tmp_path)
    (found,) = find_plugins(tmp_path)
    assert list(found.launch.claims.services) == services


async def test_a_manifest_that_others_can_write_is_not_parsed(tmp_path: Path) -> None:
    manifest("version = ")(tmp_path)
    (tmp_path / "bad.plugmux.toml").chmod(0o666)
    (found,) = find_plugins(tmp_path)
    with pytest.raises(PluginError, match=r"bad.plugmux.toml can be written by others") as caught:
        await found.launch.runner.start(found.launch, 1.0, LogBook().of("bad"))  # type: ignore[union-attr]
    assert caught.value.cause is PluginCause.UNTRUSTED


async def test_an_entry_that_cannot_be_looked_at_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").mkdir()
    install(tmp_path, "kv", "1.0.0")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "bad":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    found = {plugin.name: plugin.file_check for plugin in find_plugins(tmp_path)}
    assert found["bad"] is None
    assert found["kv"] is not None


@pytest.mark.parametrize(
    ("version", "told"),
    [("1.0.0", "it says that it is version 1.1.0, and was installed as 1.0.0"), ("1.1.0", "")],
)
async def test_a_plugin_must_register_the_version_that_it_was_installed_as(
    tmp_path: Path, version: str, told: str
) -> None:
    (tmp_path / "kv" / version).mkdir(parents=True)
    script(tmp_path / "kv" / version, "kv", PLUGIN, version="v1.1.0")
    async with Runtime([Installed("kv@1", path=[tmp_path])]) as runtime:
        error = runtime.plugin("kv").error
        assert told in str(error) if told else error is None


async def test_a_version_that_is_not_known_before_is_held_to_the_range(tmp_path: Path) -> None:
    script(tmp_path, "kv", PLUGIN, version="v1.1.0")
    async with Runtime([Installed("kv@^2", path=[tmp_path])]) as runtime:
        assert "it is version 1.1.0, and ^2 was asked for" in str(runtime.plugin("kv").error)


async def test_services_that_a_manifest_promises_must_be_served(tmp_path: Path) -> None:
    script(tmp_path, "kv", PLUGIN, version="v1.1.0")
    (tmp_path / "kv.plugmux.toml").write_text('services = ["kv.v1.KeyValueService", "a.v1.Absent"]')
    async with Runtime([Directory(tmp_path)]) as runtime:
        assert "it does not serve a.v1.Absent" in str(runtime.plugin("kv").error)


async def test_a_script_runs_by_its_manifest(tmp_path: Path) -> None:
    program = Path(script(tmp_path, "run_kv.py", PLUGIN + "\n", version="v1.1.0"))
    program.chmod(0o644)
    (tmp_path / "kv.plugmux.toml").write_text(
        'version = "1.1.0"\ncommand = ["python3", "run_kv.py"]\nprotocol_versions = [1, 2]\n'
        f'checksum = "sha256:{hashlib.sha256(program.read_bytes()).hexdigest()}"\n[env]\nMINE = "1"\n'
    )
    async with Runtime([Installed("kv@1", path=[tmp_path])]) as runtime:
        assert runtime.plugin("kv").error is None
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="version"))).value == b"v1.1.0"


async def test_an_interpreter_beside_a_script_is_held_to_the_same_as_the_script(tmp_path: Path) -> None:
    script(tmp_path, "run_kv.py", PLUGIN, version="v1.1.0")
    (tmp_path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "kv.plugmux.toml").write_text('command = ["./python3", "run_kv.py"]\n')
    async with Runtime([Installed("kv@1", path=[tmp_path])]) as runtime:
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="version"))).value == b"v1.1.0"
    for file in ("python3", "run_kv.py"):
        (tmp_path / file).chmod(0o757)
        async with Runtime([Installed("kv@1", path=[tmp_path])]) as runtime:
            assert f"{file} can be written by others" in str(runtime.plugin("kv").error)
        (tmp_path / file).chmod(0o755)


async def test_a_file_that_is_swapped_between_check_and_start_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = install(tmp_path, "kv", "1.0.0")
    check = FileCheck.check

    async def check_and_swap(file_check: FileCheck) -> object:
        checked = await check(file_check)
        other = program.with_name("other")
        other.write_bytes(program.read_bytes())
        other.chmod(0o755)
        other.rename(program)
        return checked

    monkeypatch.setattr(FileCheck, "check", check_and_swap)
    async with Runtime([Installed("kv@1", path=[tmp_path])]) as runtime:
        error = runtime.plugin("kv").error
        assert error is not None
        assert error.cause is PluginCause.CHECKSUM
        assert "was changed between its check and its start" in str(error)
    assert isinstance(find_plugins(tmp_path)[0].launch.runner, GuardedRunner)


# -- how they change --------------------------------------------------------------------------------------------------


async def until(runtime: Runtime, name: str, version: str | None) -> None:
    """Wait until the plugin of a name runs in a version, or is gone."""
    async with asyncio.timeout(30):
        while version != next((plugin.version for plugin in runtime.plugins() if plugin.name == name), None):
            await asyncio.sleep(0.02)


async def test_plugins_are_added_replaced_and_removed_without_a_restart(tmp_path: Path) -> None:
    install(tmp_path, "kv", "1.0.0")
    async with Runtime([Directory(tmp_path, watch=0.02)]) as runtime:
        await until(runtime, "kv", "v1.0.0")
        newer = install(tmp_path, "kv", "1.1.0")
        await until(runtime, "kv", "v1.1.0")
        other = Path(script(tmp_path, "other", PLUGIN, version="v3.0.0"))
        await until(runtime, "other", "v3.0.0")
        other.unlink()
        await until(runtime, "other", None)
        newer.unlink()
        await until(runtime, "kv", "v1.0.0")


async def test_a_watched_plugin_that_gets_worse_stays_as_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path, "kv", "1.0.0")
    async with Runtime([Installed("kv@1", path=[tmp_path], watch=0.02)]) as runtime:
        (tmp_path / "kv" / "1.1.0").mkdir()
        script(tmp_path / "kv" / "1.1.0", "kv", "import sys; sys.exit('no database')")
        async with asyncio.timeout(30):
            while "no database" not in caplog.text or "the old one stays" not in caplog.text:
                await asyncio.sleep(0.02)
        assert runtime.plugin("kv").version == "v1.0.0"
        assert runtime.plugin("kv").state is State.RUNNING


async def test_a_version_that_comes_while_its_plugin_is_disabled_runs_when_it_is_enabled(tmp_path: Path) -> None:
    install(tmp_path, "kv", "1.0.0")
    install(tmp_path, "other", "1.0.0")
    async with Runtime([Directory(tmp_path, watch=0.02)]) as runtime:
        await runtime.disable("kv")
        install(tmp_path, "kv", "2.0.0")
        install(tmp_path, "other", "2.0.0")
        await until(runtime, "other", "v2.0.0")  # Behind it by name: what came for kv has been looked at.
        assert runtime.plugin("kv").state is State.DISABLED
        await runtime.enable("kv")
        await until(runtime, "kv", "v2.0.0")


async def test_watching_goes_on_after_a_look_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[str] = []
    find = Directory.find

    def look(directory: Directory) -> list[FoundInDirectory]:
        looks.append("")
        if len(looks) in (2, 3):
            raise RuntimeError("no look")
        return find(directory)

    monkeypatch.setattr(Directory, "find", look)
    async with Runtime([Directory(tmp_path, watch=0.02)]) as runtime:
        install(tmp_path, "kv", "1.0.0")
        await until(runtime, "kv", "v1.0.0")
    assert "plugins could not be looked for" in caplog.text
