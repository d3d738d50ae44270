"""Command lines of Windows: one text for a program, which divides it by the rules of CommandLineToArgvW."""

from __future__ import annotations

import pytest

from plugmux.platform.windows.native.command_line import MAX_COMMAND_LINE, command_line, is_batch_file
from plugmux.platform.windows.native.search import search, split_line

CMD = r"C:\Windows\System32\cmd.exe"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["C:\\p.exe"], "C:\\p.exe"),
        (["C:\\Program Files\\p.exe", "a b"], '"C:\\Program Files\\p.exe" "a b"'),
        (["p", 'say "hi"'], 'p "say \\"hi\\""'),
        (["p", "C:\\dir\\"], "p C:\\dir\\"),
        (["p", "C:\\my dir\\"], 'p "C:\\my dir\\\\"'),
        (["p", ""], 'p ""'),
        (["p", "%PATH%", "a&b"], "p %PATH% a&b"),
        (["p", "ünï", "日本"], "p ünï 日本"),
    ],
)
def test_each_argument_is_one_word_of_the_line(words: list[str], line: str) -> None:
    assert command_line(words[0], words[1:], CMD) == line


@pytest.mark.parametrize("argument", ["a", "", "a b", '"', '\\"', "\\", "\\\\ ", 'a\\\\"b c\\', '--x="y z"\\\\'])
def test_a_program_gets_back_what_it_was_given(argument: str) -> None:
    words = ["p", argument, "end"]
    assert split_line(command_line(words[0], words[1:], CMD)) == words


@pytest.mark.parametrize("path", ["a.cmd", "A.BAT", "x\\y.Cmd", "a.bat. ", "a.cmd..."])
def test_what_the_command_prompt_runs_is_known_by_its_name(path: str) -> None:
    assert is_batch_file(path)
    assert not is_batch_file("a.cmd.exe")


def test_a_batch_file_is_run_by_the_command_prompt_in_quotes() -> None:
    line = command_line("C:\\my dir\\p.cmd", ["a b", "c"], CMD)
    assert line == CMD + ' /d /v:off /s /c ""C:\\my dir\\p.cmd" "a b" "c""'


@pytest.mark.parametrize("argument", ["%PATH%", "a&b", 'a"b', "a|b", "a^b", "!x!", "a>b", "a\r\nb", "(x)", "dir\\"])
def test_what_the_command_prompt_would_interpret_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="command prompt would interpret"):
        command_line("p.cmd", [argument], CMD)


def test_a_zero_character_and_a_line_that_is_too_long_are_refused() -> None:
    with pytest.raises(ValueError, match="zero character"):
        command_line("p", ["a\0b"], CMD)
    command_line("p", ["x" * (MAX_COMMAND_LINE - 3)], CMD)
    with pytest.raises(ValueError, match=str(MAX_COMMAND_LINE - 1)):
        command_line("p", ["x" * (MAX_COMMAND_LINE - 2)], CMD)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  a  b\tc ", ["a", "b", "c"]),
        ("C:\\Program\\p.exe x", ["C:\\Program\\p.exe", "x"]),
        ("\"C:\\Program Files\\p.exe\" 'x y'", ["C:\\Program Files\\p.exe", "'x", "y'"]),
        ('a"b c"d', ["ab cd"]),
        ('\\\\server\\share \\\\"x y\\\\"', ["\\\\server\\share", "\\x y\\"]),
        ('""', [""]),
        ('\\"', ['"']),
    ],
)
def test_a_line_is_divided_as_programs_divide_it(line: str, words: list[str]) -> None:
    assert split_line(line) == words


def test_quotes_that_are_not_closed_are_refused() -> None:
    with pytest.raises(ValueError, match="closing"):
        split_line('"C:\\Program Files\\p.exe')


FILES = {
    "C:\\bin\\kv.exe",
    "C:\\bin\\kv.cmd",
    "C:\\tools\\kv.exe",
    "D:\\my tools\\x.cmd",
    "C:\\bin\\kv",
    "C:\\bin\\a.py",
}


@pytest.mark.parametrize(
    ("command", "path", "extensions", "found"),
    [
        ("kv", "C:\\bin;C:\\tools", ".COM;.EXE;.BAT;.CMD", "C:\\bin\\kv.exe"),
        ("kv", "C:\\bin;C:\\tools", ".CMD;.EXE", "C:\\bin\\kv.cmd"),
        ("kv", "C:\\tools;C:\\bin", "", "C:\\tools\\kv.exe"),
        ("kv.cmd", "C:\\tools;C:\\bin", ".EXE", "C:\\bin\\kv.cmd"),
        ("x", 'C:\\bin;"D:\\my tools"', ".EXE;.CMD", "D:\\my tools\\x.cmd"),
        ("a", "C:\\bin", ".PY;.EXE", None),
        ("nothing", ";;C:\\bin;", ".EXE", None),
    ],
)
def test_a_program_is_found_by_the_suffixes_that_the_system_runs(
    command: str, path: str, extensions: str, found: str | None
) -> None:
    assert search(command, path, extensions, FILES.__contains__) == found
