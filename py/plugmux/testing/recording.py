"""A recording of a link's calls: JSON lines, one call a line, with the values of secrets masked."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from ..errors import PlugmuxError
from .calls import Call

__all__ = ["FORMAT", "RecordingError", "RecordingWriter", "read_recording"]

FORMAT = 1


class RecordingError(PlugmuxError):
    """A recording cannot be written or read; the message names the file and the line."""


class RecordingWriter:
    """Writes the calls of one plugin to a file, each when it has ended.

    Args:
        path: the file; one that is there is replaced.
        plugin: the plugin's name.

    Raises:
        RecordingError: it cannot be written.
    """

    def __init__(self, path: str | PathLike[str], plugin: str) -> None:
        self._path = Path(path)
        self._plugin = plugin
        self._file: TextIO | None = None

    def write(self, call: Call) -> None:
        """Write a call."""
        self._line(call.to_json())

    def _line(self, value: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(value, ensure_ascii=False) + "\n")

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise RecordingError(f"the calls of plugin {self._plugin!r} cannot be recorded: {error}") from None
        self._line({"plugmux_recording": FORMAT, "plugin": self._plugin})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def read_recording(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """The calls of a recording, in the order of their ends.

    Raises:
        RecordingError: it cannot be read, or is none.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"the recording {str(path)!r} cannot be read: {error}") from None
    values = [_parse(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not values or values[0].get("plugmux_recording") != FORMAT:
        raise RecordingError(f"{str(path)!r} is no recording of plugmux in format {FORMAT}: record it again")
    for number, value in enumerate(values[1:], 2):
        if not isinstance(value.get("method"), str) or not isinstance(value.get("messages"), list):
            raise RecordingError(f"line {number} of {str(path)!r} is no call: it has no method, or no messages")
    return values[1:]


def _parse(path: str | PathLike[str], number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"line {number} of {str(path)!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RecordingError(f"line {number} of {str(path)!r} is no JSON object")
    return value
