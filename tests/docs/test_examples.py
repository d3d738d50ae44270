"""Every example of every page runs, compiles, or is held against what there is; the others say why not."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugmux.cli.program import _parser
from support.pages import Example, all_examples, examples
from support.tools import ROOT

PYTHON = {
    "README.md": "tests/test_readme.py",
    "docs/connect.md": "tests/connect/test_docs.py",
    "docs/developing.md": "tests/runtime/test_launching_docs.py",
    "docs/embedding.md": "tests/embedding/test_fastapi.py",
    "docs/launching.md": "tests/runtime/test_launching_docs.py",
    "docs/new.md": "tests/new/test_docs.py",
    "docs/remote.md": "tests/remote/test_docs.py",
    "docs/secrets.md": "tests/secrets/test_docs.py",
    "docs/sync.md": "tests/sync/test_docs.py",
    "docs/install.md": "tests/docs/test_pages_alone.py",
    "docs/testing.md": "tests/docs/test_pages_alone.py",
    "docs/tox.md": "tests/docs/test_pages_alone.py",
    "docs/tutorial-fastapi.md": "tests/docs/test_tutorials.py",
    "docs/tutorial-secrets.md": "tests/docs/test_tutorials.py",
} | {
    f"docs/{page}.md": "tests/runtime/test_docs.py"
    for page in (
        "callbacks", "configuration", "discovery", "failover", "health", "http", "instances", "lifecycle", "logs",
        "metrics", "plugins", "runtime", "security", "streams", "supervision", "versions",
    )
}  # fmt: skip
"""Which tests run the Python examples of a page."""

PROGRAMS = frozenset(
    {
        ".", "buf", "cat", "cd", "chmod", "curl", "docker", "export", "git", "go", "kubectl", "mkdir", "node", "npx",
        "openssl", "printf", "ps", "python", "python3", "socat", "tox",
    }
)  # fmt: skip
"""Programs of others that pages call."""

MAKEFILES = [ROOT / "Makefile", *(ROOT / "py/plugmux/new/templates").glob("*/Makefile.j2")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_examples_that_do_not_run_are_few_and_say_why(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = [example for example in all_examples() if example.reason]
    with capsys.disabled():
        print(f"\n{len(all_examples())} examples on the pages, {len(left_out)} of which do not run:")
        for example in left_out:
            print(f"  {example}: {example.reason}")
    assert len(left_out) <= 20


@pytest.mark.parametrize("page", sorted({example.page for example in all_examples("python")}))
def test_a_test_runs_the_python_of_the_page(page: str) -> None:
    assert page in PYTHON, f"run the examples of {page} in a test (support.pages.run_examples), and name it in PYTHON"
    source = (ROOT / PYTHON[page]).read_text()
    assert re.search(r"\b(run_examples|examples)\(", source)
    assert Path(page).stem in source, f"{PYTHON[page]} does not name the page"


@pytest.mark.parametrize("example", all_examples("toml", "ini", "json"), ids=str)
def test_configuration_can_be_read(example: Example) -> None:
    match example.language:
        case "toml":
            assert tomllib.loads(example.text)
        case "ini":
            parser = configparser.ConfigParser()
            parser.read_string(example.text)
            assert parser.sections()
        case "json":
            json.loads(example.text)


def test_the_templates_of_buf_are_run() -> None:
    pages = {example.page for example in all_examples("yaml")}
    assert all(page in (ROOT / "tests/test_readme.py").read_text() for page in pages), pages


@pytest.mark.parametrize("example", all_examples("proto"), ids=str)
def test_protos_compile(example: Example, tmp_path: Path) -> None:
    whole = example.text if "syntax" in example.text else f'syntax = "proto3";\n{example.text}'
    (tmp_path / "shown.proto").write_text(whole)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path}", f"--descriptor_set_out={tmp_path}/out"]
    subprocess.run([*command, "shown.proto"], check=True)


def commands(example: Example) -> Iterator[list[str]]:
    """The commands that an example has, as words; what a heredoc holds is none, nor what a command prints."""
    text = example.text.replace("\\\n", " ")
    text = re.sub(r"<<'(\w+)'\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        if example.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word in ("&&", "||", "|", ";", "&"):
                if command := [each for each in command if command[:1] == ["export"] or not assigns(each)]:
                    yield command
                command = []
            elif word in (">", "<"):
                break
            else:
                command.append(word)
        if command:
            yield command


def assigns(word: str) -> bool:
    return re.match(r"[A-Z_]+=", word) is not None


SHOWN = [(example, command) for example in all_examples("sh", "console") for command in commands(example)]


@pytest.mark.parametrize(
    ("example", "command"), SHOWN, ids=lambda each: str(each) if isinstance(each, Example) else None
)
def test_every_command_and_option_exists(example: Example, command: list[str]) -> None:
    program, *arguments = command
    program = program.removeprefix(".venv/bin/")
    if program == "plugmux":
        if "--version" not in arguments:  # which ends the program
            _parser().parse_args(arguments)  # So does an option that it does not know, with a status.
    elif program == "make":
        targets = {name for file in MAKEFILES for name in re.findall(r"^([a-z-]+):", file.read_text(), re.MULTILINE)}
        assert {word for word in arguments if not assigns(word) and not word.startswith("-")} <= targets
    elif program == "pip":
        extras = {extra for word in arguments for extra in re.findall(r"plugmux\[([\w,-]+)\]", word)}
        assert {each for extra in extras for each in extra.split(",")} <= set(PROJECT["optional-dependencies"])
    elif program == "npm":
        if arguments[0] == "run":
            assert arguments[1] in json.loads((ROOT / "ts/package.json").read_text())["scripts"]
    elif "/" in program:
        assert not program.startswith("examples/") or (ROOT / program).exists()
    elif program in PROJECT["scripts"]:
        pass
    else:
        assert program in PROGRAMS, f"is there a program {program!r}?"
    if program.startswith("python") and arguments[:1] == ["-m"] and arguments[1] != "pip":  # pip is the reader's own
        assert importlib.util.find_spec(arguments[1]) is not None


def test_the_first_page_of_the_site_leads_to_every_page() -> None:
    index = (ROOT / "docs/index.md").read_text()
    missing = [page.name for page in (ROOT / "docs").glob("*.md") if f"({page.name})" not in index]
    assert missing == ["index.md"], "add it to docs/index.md, which is the navigation of the site"


def test_the_first_lines_of_each_page_say_whom_it_is_for() -> None:
    for page in sorted((ROOT / "docs").glob("*.md")):
        lines = page.read_text().splitlines()
        assert lines[0].startswith("# "), page
        assert lines[2].startswith("*For "), (
            f"{page.name}: say below the title whom the page is for: *For authors of ...*"
        )


def test_the_synopsis_of_the_command_line_has_every_command() -> None:
    (synopsis, *_) = examples("docs/cli.md", "")
    (commands,) = (action for action in _parser()._actions if action.choices and action.dest != "help")
    assert commands.choices is not None
    for name in commands.choices:
        assert f"plugmux {name}" in synopsis or f"`plugmux {name}" in (ROOT / "docs/cli.md").read_text(), name
