"""Which paths another user can change."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from plugmux.platform import UntrustedPath
from plugmux.platform import open_trusted_file as open_file
from plugmux.platform.posix import trusted_path
from plugmux.platform.posix.trusted_path import open_directory

STRANGER = 54_321


@pytest.fixture(autouse=True, params=["O_PATH", "by name"])
def looking(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at files as Linux can, and as every other system does."""
    if request.param == "by name":
        monkeypatch.setattr(trusted_path, "O_PATH", None)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with `a/b/file`, and `links/hop` that leads there by way of `elsewhere/hop`."""
    for folder in ("a/b", "elsewhere", "links"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("a", "a/b", "elsewhere", "links"):
        (tmp_path / folder).chmod(0o755)
    (tmp_path / "a/b/file").write_text("text")
    (tmp_path / "a/b/file").chmod(0o644)
    (tmp_path / "elsewhere/hop").symlink_to("../a/b/file")
    (tmp_path / "links/hop").symlink_to(tmp_path / "elsewhere" / "hop")
    return tmp_path


def read(path: Path) -> str:
    opened = open_file(path)
    try:
        return os.read(opened.fd, 100).decode()
    finally:
        os.close(opened.fd)


@pytest.mark.parametrize("path", ["a/b/file", "links/hop", "a/../a/./b//file", "links/../elsewhere/hop"])
def test_a_path_is_good_that_nobody_else_can_change(place: Path, path: str) -> None:
    assert read(place / path) == "text"
    opened = open_file(place / path)
    os.close(opened.fd)
    assert (opened.path, opened.shared) == (str(place / "a/b/file"), False)


@pytest.mark.parametrize("part", ["a/b/file", "a/b", "a", "elsewhere", "links", "."])
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_no_part_of_a_path_may_be_written_by_others(place: Path, part: str, mode: int) -> None:
    (place / part).chmod(mode)
    with pytest.raises(UntrustedPath, match=rf"{place / part} can be written by others \(mode {mode:o}\)"):
        read(place / "links/hop")


def other_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a path be another user's: by its owner, where this process may change that."""
    if os.geteuid() == 0:
        os.chown(path, STRANGER, -1, follow_symlinks=False)
        return
    fstat, found = os.fstat, path.lstat()

    def told(fd: int) -> os.stat_result:
        status = fstat(fd)
        if (status.st_dev, status.st_ino) != (found.st_dev, found.st_ino):
            return status
        return os.stat_result((*status[:4], STRANGER, *status[5:10]))

    monkeypatch.setattr(os, "fstat", told)


@pytest.mark.parametrize("part", ["a/b/file", "a/b", "a", "elsewhere", "elsewhere/hop", "links", "links/hop", "."])
def test_every_part_of_a_path_is_ones_own(place: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other_owner(place / part, monkeypatch)
    with pytest.raises(UntrustedPath, match=rf"{place / part} belongs to another user \({STRANGER}\)"):
        read(place / "links/hop")


def test_in_a_sticky_directory_the_entry_counts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "elsewhere", "links"):
        (place / folder).chmod(0o1777)
    assert read(place / "links/hop") == "text"
    other_owner(place / "elsewhere/hop", monkeypatch)
    with pytest.raises(UntrustedPath, match="elsewhere/hop belongs to another user"):
        read(place / "links/hop")


def test_a_file_tells_whether_others_may_put_files_beside_it(place: Path) -> None:
    (place / "a/b").chmod(0o1777)
    opened = open_file(place / "links/hop")
    os.close(opened.fd)
    assert opened.shared


def fifo(path: Path) -> None:
    os.mkfifo(path)


def loop(path: Path) -> None:
    path.symlink_to(path)


def absent(path: Path) -> None: ...


@pytest.mark.parametrize("make", [fifo, loop, absent, Path.mkdir])
def test_what_is_no_file_is_not_opened(place: Path, make: Callable[[Path], None]) -> None:
    make(place / "odd")
    with pytest.raises(OSError, match="odd"):
        open_file(place / "odd")


def test_directories_are_made_for_this_user_alone(place: Path) -> None:
    os.close(open_directory(place / "new" / "inner", make=True))
    os.close(open_directory(place / "new" / "inner", make=True))
    assert stat.S_IMODE((place / "new" / "inner").stat().st_mode) == 0o700
    with pytest.raises(FileNotFoundError, match="absent"):
        open_directory(place / "absent")


def test_a_directory_is_shared_only_where_that_is_allowed(place: Path) -> None:
    (place / "a").chmod(0o1777)
    os.close(open_directory(place / "a", shared=True))
    with pytest.raises(UntrustedPath, match="a can be written by others"):
        open_directory(place / "a")
    (place / "a").chmod(0o777)
    with pytest.raises(UntrustedPath, match="a can be written by others"):
        open_directory(place / "a", shared=True)


def test_no_descriptor_is_left(place: Path) -> None:
    before = os.listdir("/dev/fd")
    read(place / "links/hop")
    (place / "a").chmod(0o777)
    with pytest.raises(UntrustedPath):
        open_file(place / "links/hop")
    assert os.listdir("/dev/fd") == before
