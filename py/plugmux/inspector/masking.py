"""Masks what is secret in JSON, by the schema of its message, before a browser gets it."""

from __future__ import annotations

import json
from binascii import Error as NotBase64
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from ..connect import ErrorDetail
from ..dynamic.masking import MASK, is_secret, masked_text

__all__ = ["Masker"]

ANY = "google.protobuf.Any"


class Masker:
    """Masks the messages of one call, and in its errors what was masked in its messages.

    Masked are the values that a secrets provider gives, and every field with `[debug_redact = true]` in its proto.
    Without a schema nothing can be told of a field: where a service is known to give secrets, nothing is shown at all.

    Args:
        service: the full name of the service.
        message: what the messages are; `None` where the schema is not known.
        pool: the schema.
    """

    def __init__(self, service: str, pool: DescriptorPool | None) -> None:
        self._blind = pool is None and service.startswith(("resolver.v1.", "plugmux.v1."))
        self._pool = pool
        self._secrets: set[str] = set()

    def message(self, value: Any, of: Descriptor | None) -> Any:
        """A message as it may be shown.

        Args:
            value: the message, parsed from JSON.
            of: its descriptor; `None` where the schema is not known.
        """
        if of is None:
            return MASK if self._blind else value
        return self._masked(value, of)

    def text(self, text: str) -> str:
        """A text about the call, without the secrets that its messages had."""
        return masked_text(text, self._secrets)

    def detail(self, detail: ErrorDetail) -> str:
        """A detail of an error as JSON; empty where the schema does not have its message."""
        if self._pool is None:
            return ""
        try:
            found = self._pool.FindMessageTypeByName(detail.type_name)
            message = GetMessageClass(found).FromString(detail.value)
        except (KeyError, DecodeError):
            return ""
        fields = MessageToDict(message, descriptor_pool=self._pool)
        return self.text(json.dumps(self._masked(fields, found)))

    def _masked(self, value: Any, of: Descriptor) -> Any:
        if of.full_name == ANY:
            return {"@type": value.get("@type", ""), "value": MASK} if isinstance(value, dict) else MASK
        if not isinstance(value, dict) or of.full_name.startswith("google.protobuf."):
            return value
        fields = {name: field for field in of.fields for name in (field.json_name, field.name)}
        return {name: self._field(inner, fields.get(name)) for name, inner in value.items()}

    def _field(self, value: Any, field: FieldDescriptor | None) -> Any:
        if field is None or value is None:
            return value
        if is_secret(field):
            self._secrets.update(_texts(value))
            return MASK
        kind: Descriptor | None = field.message_type
        if kind is None:
            return value
        if kind.GetOptions().map_entry:
            inner = kind.fields_by_name["value"]
            return {key: self._field(each, inner) for key, each in value.items()} if isinstance(value, dict) else value
        if isinstance(value, list):
            return [self._masked(each, kind) for each in value]
        return self._masked(value, kind)


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that is masked, as they are and, where they are bytes, as what they stand for."""
    if isinstance(value, str):
        yield value
        try:
            from base64 import b64decode

            yield b64decode(value, validate=True).decode()
        except (NotBase64, ValueError):
            pass
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
