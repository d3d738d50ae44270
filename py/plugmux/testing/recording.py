"""A recording of a link's calls: JSON lines, one call a line, with the values of secrets masked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from google.protobuf import json_format

from ..connect import Code, RpcError
from ..dynamic.masking import message_to_json
from ..errors import PlugmuxError
from .calls import Call

if TYPE_CHECKING:
    from ..connect import MethodSpec

__all__ = ["FORMAT", "RecordedCall", "RecordingError", "RecordingWriter", "read_recording"]

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


@dataclass(frozen=True, slots=True, eq=False)
class RecordedCall:
    """One call of a recording: what goes each way, in order, and how it ends.

    Attributes:
        method: what is called.
        steps: its messages: `("request", message)` or `("response", message)`.
        error: the error that it ends with.
        number: which call it is, by the order of the beginnings; 0 where the recording does not tell.
        position: which call it is, by the order of the ends: 0 for the first.
    """

    method: MethodSpec[Any, Any]
    steps: list[tuple[str, Any]]
    error: RpcError | None
    number: int
    position: int

    @property
    def first_request(self) -> Any | None:
        """The first request, if there is one."""
        return next((message for kind, message in self.steps if kind == "request"), None)

    @property
    def response(self) -> Any | None:
        """The first response, if there is one."""
        return next((message for kind, message in self.steps if kind == "response"), None)

    @classmethod
    def read(cls, path: str, method: MethodSpec[Any, Any], call: Mapping[str, Any], position: int) -> Self:
        """A call of a recording.

        Raises:
            RecordingError: it does not fit the method's messages.
        """
        kinds = {"request": method.request, "response": method.response}
        try:
            steps = [
                (kind, json_format.ParseDict(value, kinds[kind]()))
                for entry in call["messages"]
                for kind, value in entry.items()
            ]
            said = call.get("error")
            error = None if said is None else RpcError(Code(said["code"]), said.get("message", ""))
            number = int(call.get("number", 0))
        except (json_format.ParseError, KeyError, TypeError, ValueError, AttributeError) as fault:
            raise RecordingError(
                f"a call of {method.path} in {path!r} does not fit its proto: {fault}; record it anew"
            ) from None
        return cls(method, steps, error, number, position)

    def __str__(self) -> str:
        request = self.first_request
        return self.method.path + ("" if request is None else f" {json.dumps(message_to_json(request))}")
