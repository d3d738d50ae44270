"""The pytest plugin, in runs of pytest of its own: in each mode, with recipes, and with tests that fail."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

import plugmux.testing.host
import plugmux.testing.recipes  # noqa: F401 -- runs in this process leave no modules behind, so all use these
from support.pytests import FEW_PLUGINS

pytest_plugins = "pytester"

PLUGIN = """
import asyncio
from kv.v1.kv_connect import KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse
from plugmux import Plugin

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=request.key.encode())

plugin = Plugin(Store(), name="kv", version="v1.0.0")

if __name__ == "__main__":
    plugin.run()
"""

BODY = """
from plugin import *
import pytest

{mark}
async def test_in_process(plugin_host):
    async with plugin_host(plugin) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"a"
        host.assert_calls("Get")

{mark}
async def test_process(launch_plugin):
    async with launch_plugin(["{python}", "plugin.py"]) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"a"

{mark}
async def test_clock(fake_clock, plugin_host):
    with fake_clock:
        async with plugin_host(plugin) as host:
            await fake_clock.run(asyncio.sleep(3600))
"""

RECIPES = f"""
[tool.plugmux.plugins.python]
run = "python plugin.py"

[tool.plugmux.plugins.built]
name = "kv"
build = ["{sys.executable}", "-c", "open('built.py', 'w').write(open('plugin.py').read())"]
run = ["{sys.executable}", "built.py"]
"""

EACH = """
import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

@pytest.mark.plugins({names})
async def test_get(launch_plugin, built_plugin):
    async with launch_plugin(built_plugin) as host:
        assert (await host.client(KeyValueClient).get(GetRequest(key="a"))).value == b"a"
"""

INI = """
[tool.pytest.ini_options]
asyncio_default_fixture_loop_scope = "function"
addopts = ["--strict-markers"]
filterwarnings = ["error"]
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a plugin."""
    for name, value in FEW_PLUGINS.items():
        monkeypatch.setenv(name, value)
    pytester.makepyfile(plugin=PLUGIN)
    pytester.syspathinsert()
    return pytester


def write(project: pytest.Pytester, pyproject: str, test: str) -> None:
    project.makepyprojecttoml(INI + 'asyncio_mode = "auto"\n' + pyproject)
    project.makepyfile(test_it=test)


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-v", *options)


def run_in_process_of_its_own(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-v", *options)


@pytest.mark.parametrize(
    ("mark", "options"),
    [
        ("@pytest.mark.asyncio", ["-o", "asyncio_mode=strict"]),
        ("", ["-o", "asyncio_mode=auto"]),
        ("@pytest.mark.anyio", ["-p", "no:asyncio"]),
    ],
    ids=["strict", "auto", "anyio"],
)
def test_the_fixtures_work_in_every_mode(project: pytest.Pytester, mark: str, options: list[str]) -> None:
    anyio = "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    project.makepyfile(test_it=BODY.format(mark=mark, python=sys.executable) + (anyio if "anyio" in mark else ""))
    project.makepyprojecttoml(
        INI if "no:asyncio" not in options else INI.replace("asyncio_default", "# asyncio_default")
    )
    run_in_process_of_its_own(project, *options).assert_outcomes(passed=3)


def test_a_test_runs_once_for_each_plugin_that_it_names(project: pytest.Pytester) -> None:
    write(project, RECIPES, EACH.format(names='"python", "built"'))
    result = run_in_process_of_its_own(project)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_get?python? PASSED*", "*test_get?built? PASSED*"])


def test_without_names_it_runs_for_all_and_one_can_be_chosen(project: pytest.Pytester) -> None:
    write(project, RECIPES, EACH.format(names=""))
    result = run_in_process_of_its_own(project, "--plugmux-plugins", "built")
    result.assert_outcomes(passed=1, deselected=1)
    result.stdout.fnmatch_lines(["*test_get?built? PASSED*"])


MISSING = '[tool.plugmux.plugins.cobol]\nbuild = "no-such-compiler kv.cob"\nrun = "./kv"\n'


def test_a_missing_compiler_fails_the_test(project: pytest.Pytester) -> None:
    write(project, MISSING, EACH.format(names='"cobol"'))
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*plugin 'cobol' needs 'no-such-compiler', and there is none on PATH*"])


@pytest.mark.parametrize(("recipe", "options"), [('missing = "skip"\n', []), ("", ["--plugmux-missing", "skip"])])
def test_a_missing_compiler_skips_the_test_and_says_so_where_the_project_asks_for_it(
    project: pytest.Pytester, recipe: str, options: list[str]
) -> None:
    write(project, MISSING + recipe, EACH.format(names='"cobol"'))
    result = run(project, *options)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*NOT TESTED: plugin 'cobol' needs 'no-such-compiler'*"])


def test_an_option_overrules_a_recipe_that_would_skip(project: pytest.Pytester) -> None:
    write(project, MISSING + 'missing = "skip"\n', EACH.format(names='"cobol"'))
    run(project, "--plugmux-missing", "fail").assert_outcomes(errors=1)


def test_a_build_that_fails_shows_its_output_and_is_not_tried_again(project: pytest.Pytester) -> None:
    build = "import sys; open('tries', 'a').write('x'); sys.exit('line 7: no such thing')"
    table = f"[tool.plugmux.plugins.go]\nbuild = ['{sys.executable}', '-c', {build!r}]\nrun = './kv'\n"
    twice = EACH.format(names='"go"') + EACH.format(names='"go"').replace("test_get", "test_get_again")
    write(project, table, twice)
    result = run(project)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*the build of plugin 'go' ended with status 1*", "*line 7: no such thing*"])
    assert (project.path / "tries").read_text() == "x"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("[tool.plugmux.plugins.go]\n", "*has no `run`*"),
        ("[tool.plugmux.plugins]\ngo = 1\n", "*plugins.go? of */pyproject.toml is no table*"),
        ("[tool.plugmux.plugins.go]\nrun = 1\n", "*`run` in *is 1; it must be a text*"),
        ('[tool.plugmux.plugins.go]\nrun = "\'"\n', "*cannot be split into words*"),
        ("[tool.plugmux.plugins.go]\nrun = 'x'\nmissing = 'x'\n", "*must be 'fail' or 'skip'*"),
        ("[tool.plugmux.plugins.go]\nrum = 'x'\n", "*has rum; it may have build, missing, name, run*"),
        ("[tool.plugmux.plugins.c]\nrun = 'x'\n", "*no plugin 'go' in *which has: c*"),
        ("", "*no plugin 'go' in *which has: none*"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_told(project: pytest.Pytester, table: str, told: str) -> None:
    write(project, table, EACH.format(names='"go"'))
    result = run(project)
    assert result.ret != 0
    (result.stderr if result.ret == pytest.ExitCode.USAGE_ERROR else result.stdout).fnmatch_lines([told])


def test_an_option_that_names_no_plugin_is_told(project: pytest.Pytester) -> None:
    write(project, RECIPES, EACH.format(names=""))
    result = run(project, "--plugmux-plugins", "java")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--plugmux-plugins: no plugin 'java'*python, built*"])


def test_a_mark_without_the_fixture_is_told(project: pytest.Pytester) -> None:
    write(project, RECIPES, "import pytest\n\n@pytest.mark.plugins('python')\ndef test_it(): ...\n")
    result = run(project)
    result.stdout.fnmatch_lines(["*is marked `plugins` and does not use built_plugin*"])


def test_the_report_of_a_failed_test_has_what_was_seen_of_the_plugin(project: pytest.Pytester) -> None:
    write(
        project,
        "",
        textwrap.dedent("""
            from plugin import *

            async def test_wrong(plugin_host):
                async with plugin_host(plugin) as host:
                    await host.client(KeyValueClient).get(GetRequest(key="a"))
                    assert False
        """),
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*plugmux: plugin kv*", "*to_plugin /kv.v1.KeyValueService/Get*", "*registering -> running*"]
    )


def test_pytest_starts_without_loading_the_runtime(project: pytest.Pytester) -> None:
    write(project, "", "import sys\n\ndef test_it():\n    assert 'plugmux.runtime' not in sys.modules\n")
    run_in_process_of_its_own(project).assert_outcomes(passed=1)


def test_plugmux_does_not_load_its_testing_package(tmp_path: Path) -> None:
    import subprocess

    code = "import sys, plugmux; plugmux.Runtime; sys.exit('plugmux.testing' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
