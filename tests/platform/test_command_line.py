"""Command lines of Windows: one text for a program, which divides it by the rules of CommandLineToArgvW."""

from __future__ import annotations

import pytest

from plugmux.platform.windows.native.command_line import MAX_COMMAND_LINE, command_line, is_batch_file

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


def divided(line: str) -> list[str]:
    """The words of a line by the rules of CommandLineToArgvW, written from their description."""
    words, word, quoted, begun, slashes = [], "", False, False, 0
    for character in line:
        if character == "\\":
            slashes, begun = slashes + 1, True
            continue
        if character == '"':
            word += "\\" * (slashes // 2)
            if slashes % 2:
                word += '"'
            else:
                quoted = not quoted
            begun = True
        else:
            word += "\\" * slashes
            if character == " " and not quoted:
                if begun:
                    words.append(word)
                word, begun, slashes = "", False, 0
                continue
            word, begun = word + character, True
        slashes = 0
    word += "\\" * slashes
    return [*words, word] if begun else words


@pytest.mark.parametrize("argument", ["a", "", "a b", '"', '\\"', "\\", "\\\\ ", 'a\\\\"b c\\', '--x="y z"\\\\'])
def test_a_program_gets_back_what_it_was_given(argument: str) -> None:
    words = ["p", argument, "end"]
    assert divided(command_line(words[0], words[1:], CMD)) == words


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
