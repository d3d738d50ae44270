"""Every error that a person meets has its section on docs/troubleshooting.md, and says where it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import plugmux.cli
from plugmux import PluginCause, PluginError
from plugmux.cli import main
from plugmux.cli.terminal.troubleshooting import TOPICS, address_of
from plugmux.errors import TROUBLESHOOTING
from support.tools import ROOT

PAGE = (ROOT / "docs/troubleshooting.md").read_text()
OF_PLUGINS, OF_COMMANDS = PAGE.split("\n## Errors of the command line\n")
ANCHOR = re.compile(r'^<a id="([\w-]+)"></a>$', re.MULTILINE)
RAISED = {"ConfigError", "PlugmuxError", "NoRuntime", "OSError"}
FOLDER = Path(plugmux.cli.__file__).parent


def test_the_page_has_a_section_for_each_cause_and_for_nothing_else() -> None:
    assert set(ANCHOR.findall(OF_PLUGINS)) == {cause.address.partition("#")[2] for cause in PluginCause}


@pytest.mark.parametrize("cause", PluginCause)
def test_an_error_of_a_plugin_says_where_its_section_is(cause: PluginCause) -> None:
    address = f"{TROUBLESHOOTING}#{cause.value.replace('_', '-')}"
    assert str(PluginError("kv", cause, "it is so")).endswith(f"{cause.hint} ({address})")
    assert f"### `{cause.value}`: " in OF_PLUGINS


def test_the_page_has_a_section_for_each_topic_of_the_command_line_and_for_nothing_else() -> None:
    assert set(ANCHOR.findall(OF_COMMANDS)) == set(TOPICS.values())


def raised() -> Iterator[tuple[str, str]]:
    """The messages of the errors that the command line's modules raise or return, with `x` for what is filled in."""
    for path in sorted(FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Call) and called in RAISED and node.args and (text := written(node.args[0])):
                yield f"{path.relative_to(FOLDER)}:{node.lineno}", text


def written(node: ast.expr) -> str:
    """What a literal says; empty for what is no literal, or has no words of its own."""
    if isinstance(node, ast.BinOp):
        return written(node.left) + written(node.right)
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return ""
    text = "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return text.replace("\0", "x") if re.search(r"[a-z]{2}", text) else ""


@pytest.mark.parametrize(("place", "message"), list(raised()))
def test_every_error_of_the_command_line_has_a_section(place: str, message: str) -> None:
    address = address_of(message)
    assert address is not None, f"{place}: add words of {message!r} to TOPICS, and a section to the page"


def test_the_command_prints_the_address_of_the_section(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", "nonsense"]) == 2
    assert f"see {TROUBLESHOOTING}#wrong-form" in capsys.readouterr().err


def test_an_error_that_has_an_address_gets_no_other() -> None:
    assert address_of(str(PluginError("kv", PluginCause.LATE, "the address of it"))) is None
