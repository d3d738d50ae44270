"""`plugmux check`: what it prints, the files that it writes, and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plugmux import ConfigError
from plugmux.check import CHECKS, Options, Subject
from plugmux.cli import main
from support.faulty import FAULTY_PLUGIN


def check(*arguments: str, fault: str = "") -> int:
    return main(["check", shlex.join([*FAULTY_PLUGIN, *filter(None, [fault])]), *arguments])


def test_a_plugin_that_passes_gives_the_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--only", "health") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "passed\thealth.get\trequired\t"
    assert err == "4 passed, 0 failed, 0 skipped\n"


def test_a_required_check_that_fails_gives_the_status_1_and_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--only", "health.get", fault="health.get") == 1
    out, err = capsys.readouterr()
    assert out == "failed\thealth.get\trequired\tthe body is 'fine'\n"
    assert "But: the body is 'fine'" in err
    assert "Why it matters:" in err
    assert "See docs/check.md#health-get" in err


def test_a_recommended_check_that_fails_gives_the_status_0_unless_it_is_strict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check("--only", "health", fault="health.service") == 0
    assert check("--only", "health", "--strict", fault="health.service") == 1
    assert "3 passed, 1 failed (0 required, 1 recommended), 0 skipped" in capsys.readouterr().err


def test_json_tells_of_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--json", "--only", "health", "--skip", "health.get", "--timeout", "2", fault="health.under-load") == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert not told["passed"]
    assert {one["id"]: one["outcome"] for one in told["checks"]} == {
        "health.under-load": "failed",
        "health.service": "passed",
        "health.unknown-service": "passed",
    }
    assert err == ""


def test_junit_has_a_case_for_every_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.xml"
    assert check("--only", "health", "--junit", str(report), fault="health.get") == 1
    (suite,) = ElementTree.parse(report).getroot()
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("plugmux.health", "4", "1")
    (failure,) = suite.findall("testcase/failure")
    assert failure.get("message") == "the body is 'fine'"
    assert check("--only", "health", "--junit", str(report), fault="health.service") == 0
    (suite,) = ElementTree.parse(report).getroot()
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


def test_junit_holds_no_character_that_xml_has_not(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    script = tmp_path / "plugin"
    script.write_text("#!/bin/sh\nprintf 'a\\033[31m\\000b' >&2\nexit 1\n")
    script.chmod(0o755)
    assert main(["check", str(script), "--only", "launch.socket", "--junit", str(report)]) == 1
    assert "a?[31m" in ElementTree.tostring(ElementTree.parse(report).getroot(), encoding="unicode")


def test_a_request_is_used_in_place_of_an_empty_message(capsys: pytest.CaptureFixture[str]) -> None:
    request = 'echo.v1.EchoService/Echo={"text": "hello"}'
    assert check("--only", "calls.empty-request", "--strict", fault="calls.empty-request") == 1
    assert check("--only", "calls.empty-request", "--strict", "--request", request, fault="calls.empty-request") == 0
    wrong = 'echo.v1.EchoService/Echo={"test": "hello"}'
    assert check("--only", "calls.unary", "--request", wrong) == 2
    assert 'no field named "test"' in capsys.readouterr().err


def test_a_configuration_reaches_the_plugin_and_is_not_to_be_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "configuration.json"
    file.write_text('{"password": "correct horse"}')
    assert check("--only", "hygiene.configuration", "--strict", "--config", str(file)) == 0
    assert (
        check("--only", "hygiene.configuration", "--strict", "--config", str(file), fault="hygiene.configuration") == 1
    )
    assert "correct horse" not in "".join(capsys.readouterr())


async def test_ctrl_c_leaves_no_plugin_behind(tmp_path: Path) -> None:
    script, mark = tmp_path / "plugin", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > {mark}.part; mv {mark}.part {mark}\nexec sleep 600\n")
    script.chmod(0o755)
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "plugmux.cli", "check", str(script), "--only", "launch.socket"], stderr=subprocess.PIPE
    )
    while not mark.exists():
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = await process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert not Path(f"/proc/{int(mark.read_text())}").exists()


def test_list_tells_of_all_checks_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--list"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [c.id for c in CHECKS]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "check takes the command of a plugin"),
        (["no-such-program"], "there is no plugin 'no-such-program': no entry point"),
        (["true", "--only", "nothing"], "there is no check and no group 'nothing'"),
        (["true", "--env", "A"], "--env 'A' is not of the form NAME=VALUE"),
        (["true", "--request", "a.B/C={"], "--request a.B/C: it is not JSON"),
        (["true", "--config", "/no/such"], "--config /no/such: "),
        (["'"], "cannot be split: No closing quotation"),
    ],
)
def test_wrong_usage_is_told_with_the_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_plugin_that_runs_and_does_not_register_is_waited_for_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "plugin"
    script.write_text("#!/bin/sh\nexec sleep 600\n")
    script.chmod(0o755)
    assert main(["check", str(script), "--startup-timeout", "0.5", "--skip", "launch.by-hand"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("failed\tlaunch.socket\trequired\tit did not register within 0.5 s")
    assert {tuple(line.split("\t")[::3]) for line in lines[1:]} == {
        ("skipped", "the plugin runs, but does not register")
    }


async def test_a_terminal_gets_a_table_and_a_bar_of_progress(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "plugmux.cli", "check", shlex.join(FAULTY_PLUGIN), "--only", "health"]
    leader, follower = os.openpty()
    with os.fdopen(leader, "rb", 0) as terminal:
        process = await asyncio.create_subprocess_exec(*command, stdout=follower, stderr=follower)
        os.close(follower)
        assert await process.wait() == 0
        text = os.read(terminal.fileno(), 65536).decode()
    assert "\r\x1b[K" in text  # The bar, or its end: how long the checks take is the machine's. (test_progress.py)
    assert "RESULT  CHECK                   LEVEL        MESSAGE" in text


def test_where_there_are_no_pairs_of_sockets_nothing_is_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ConfigError, match="run them on Linux or macOS"):
        Subject(FAULTY_PLUGIN, Options())
