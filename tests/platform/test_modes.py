"""How Python can be run: optimised, in asyncio's debug mode, with eager tasks, on uvloop; not in a subinterpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from textwrap import dedent

import pytest

from support.programs import KV_PLUGIN
from support.tools import ROOT

HOST = """
import asyncio, sys
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest
from plugmux import Launch, Runtime

async def main():
    {before}
    async with Runtime([Launch([sys.executable, *sys.argv[1:]], name="kv")]) as runtime:
        kv = runtime.client(KeyValueClient)
        await asyncio.gather(*(kv.get(GetRequest(key="pid")) for _ in range(50)))
    print("done")

asyncio.run(main(){options})
"""
EAGER = "asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)"
UVLOOP = ", loop_factory=__import__('uvloop').new_event_loop" if sys.version_info >= (3, 12) else ""


def run(code: str, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python on a program."""
    return subprocess.run(
        [sys.executable, *arguments],
        input=code,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def host(flags: list[str], plugin_flags: list[str], before: str = "pass", options: str = "", **environ: str) -> None:
    code = HOST.format(before=before, options=options)
    done = run(code, *flags, "-", *plugin_flags, "-c", f"OPTIONS = {{}}\n{dedent(KV_PLUGIN)}", environ=environ)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "Error" not in done.stderr
    assert "was never" not in done.stderr


@pytest.mark.parametrize("flags", [["-O"], ["-OO"], ["-X", "dev"], ["-W", "error"]], ids=" ".join)
def test_host_and_plugin_run_with_the_options_of_python(flags: list[str]) -> None:
    host(flags, flags)


def test_host_and_plugin_run_in_asyncios_debug_mode() -> None:
    host([], [], PYTHONASYNCIODEBUG="1")


if sys.version_info >= (3, 12):

    def test_a_host_runs_where_tasks_begin_at_once() -> None:
        host([], [], EAGER)

    @pytest.mark.timeout(600)
    @pytest.mark.parametrize(
        ("options", "environ"), [(["-p", "support.eager_tasks"], {}), ([], {"PYTHONASYNCIODEBUG": "1"})], ids=str
    )
    def test_the_tests_of_the_runtime_pass_in_that_mode(options: list[str], environ: dict[str, str]) -> None:
        paths = "tests/aio tests/http tests/link tests/runtime/test_runtime.py tests/secrets tests/sync".split()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *paths],
            cwd=ROOT,
            env={**os.environ, **environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{os.environ['PYTHONPATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_a_host_runs_on_uvloop() -> None:
        host([], [], options=UVLOOP)

    def test_a_subinterpreter_is_refused() -> None:
        done = run(SUBINTERPRETER, "-")
        assert "plugmux cannot be imported in a subinterpreter" in done.stdout + done.stderr


SUBINTERPRETER = """
code = "import plugmux"
try:
    from concurrent import interpreters
    interpreters.create().exec(code)
except ImportError:
    try:
        import _interpreters
        print(_interpreters.exec(_interpreters.create(), code))
    except ImportError:
        import _xxsubinterpreters
        _xxsubinterpreters.run_string(_xxsubinterpreters.create(isolated=True), code)
"""


def test_an_interpreter_that_is_not_the_main_one_is_refused() -> None:
    done = run("import _thread\n_thread._is_main_interpreter = lambda: False\nimport plugmux", "-")
    assert "ImportError: plugmux cannot be imported in a subinterpreter" in done.stderr
