"""The header and trailer fields of a call: a multi-map of text and binary values."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import TypeAlias

from ..errors import ConfigError
from ..exchange import Headers

__all__ = ["Metadata", "MetadataLike"]

Value: TypeAlias = str | bytes
MetadataLike: TypeAlias = "Metadata | Mapping[str, Value] | Iterable[tuple[str, Value]]"
"""The forms in which a user may give fields."""

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e]*\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]*+={0,2}")
_BINARY = "-bin"
_RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


_OF_A_MESSAGE = frozenset(name.encode() for name in _RESERVED)


class Metadata(MutableMapping[str, Value]):
    """Fields by name, where a name may have several values.

    Names are case-insensitive and are stored in lower case. A value is `str`. If the name ends in `-bin`, it is `bytes`
    and is sent as base64. Indexing returns the first value of a name, `get_all` all of them. Assigning replaces all
    values of a name, `add` appends one. `raw` holds the fields as they are on the wire.

    Raises:
        ConfigError: HTTP or the Connect protocol does not allow a name or a value.
    """

    __slots__ = ("raw",)

    def __init__(self, fields: MetadataLike = ()) -> None:
        self.raw: list[tuple[bytes, bytes]] = []
        if isinstance(fields, Metadata):
            self.raw.extend(fields.raw)
            return
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            self.add(name, value)

    @classmethod
    def from_wire(cls, fields: Headers) -> Metadata:
        """The metadata that a peer sent; the fields are not checked."""
        metadata = cls()
        metadata.raw.extend(fields)
        return metadata

    def sendable(self) -> list[tuple[bytes, bytes]]:
        """The fields as they are on the wire, without those of the HTTP message that a peer sent them in.

        A handler may raise the error of a call that it has made: the length of that message is not this one's.
        """
        return [field for field in self.raw if field[0].lower() not in _OF_A_MESSAGE]

    def add(self, name: str, value: Value) -> None:
        """Append a value to those of a name."""
        self.raw.append((_checked_name(name), _encoded(name, value)))

    def get_all(self, name: str) -> list[Value]:
        """All values of a name, in order; empty if there is none."""
        key = _key(name)
        return [_decoded(key, value) for field, value in self.raw if field == key]

    def __getitem__(self, name: str) -> Value:
        key = _key(name)
        for field, value in self.raw:
            if field == key:
                return _decoded(key, value)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Value) -> None:
        field = (_checked_name(name), _encoded(name, value))
        self.raw[:] = [other for other in self.raw if other[0] != field[0]]
        self.raw.append(field)

    def __delitem__(self, name: str) -> None:
        key = _key(name)
        kept = [field for field in self.raw if field[0] != key]
        if len(kept) == len(self.raw):
            raise KeyError(name)
        self.raw[:] = kept

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1") for name, _ in self.raw))

    def __len__(self) -> int:
        return len({name for name, _ in self.raw})

    def __repr__(self) -> str:
        return f"<Metadata {list(self)}>"  # without values, which may be credentials


def _key(name: str) -> bytes:
    """The form in which a name is looked up; a name that no field can have is never found."""
    return name.lower().encode("latin-1", "replace")


def _checked_name(name: str) -> bytes:
    lower = name.lower()
    if not _NAME.match(lower):
        raise ConfigError(f"{name!r} is not the name of a header field")
    if lower in _RESERVED or lower.startswith(("connect-", "trailer-")):
        raise ConfigError(f"the header field {lower!r} is set by the protocol; use another name")
    return lower.encode("ascii")


def _encoded(name: str, value: Value) -> bytes:
    if isinstance(value, bytes):
        if not name.lower().endswith(_BINARY):
            raise ConfigError(
                f"the field {name!r} has a value of bytes; the name of a binary field must end in {_BINARY!r}"
            )
        return b2a_base64(value, newline=False).rstrip(b"=")
    if not _VALUE.match(value) or value != value.strip():
        raise ConfigError(f"the value of {name!r} has characters that a header field cannot carry; use a -bin field")
    return value.encode("ascii")


def _decoded(key: bytes, value: bytes) -> Value:
    return from_base64(value) if key.endswith(b"-bin") else value.decode("latin-1")


def from_base64(text: bytes) -> bytes:
    """Decode base64 of either alphabet, padded or not; return no bytes if it is not base64."""
    return strict_base64(text) or b""


def strict_base64(text: bytes) -> bytes | None:
    """Decode base64 of either alphabet, padded or not; return `None` if it is not base64."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        return a2b_base64(text.translate(_STANDARD).rstrip(b"=") + b"==")
    except Base64Error:
        return None


_STANDARD = bytes.maketrans(b"-_", b"+/")
