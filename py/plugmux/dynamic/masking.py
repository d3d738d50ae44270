"""What a recording or a failed assertion shows of a message: everything but the values of secrets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..contract.redact import MIN_SECRET, forms_of

__all__ = ["MASK", "is_secret", "mask_message", "masked_text", "message_to_json"]

MASK = "****"
SECRET_FIELDS = frozenset({"resolver.v1.GetSecretsResponse.Envelope.value"})
ANY = "google.protobuf.Any"


def mask_message(message: Message, names: Collection[str] = ()) -> tuple[Any, list[str]]:
    """A copy of a message with the values of secrets masked, and the texts that were masked.

    Masked are the values that a secrets provider gives, every field with `[debug_redact = true]` in its proto, and
    those named. A text becomes `****`, anything else is left out; what an `Any` holds is left out as well.

    Args:
        message: the message; it is not changed.
        names: further fields, each by its name (`"password"`) or its full name (`"kv.v1.GetResponse.value"`).
    """
    copy = type(message)()
    copy.CopyFrom(message)
    return copy, list(_mask(copy, names))


def _mask(message: Any, names: Collection[str]) -> Iterator[str]:
    if message.DESCRIPTOR.full_name == ANY:
        message.ClearField("value")
        return
    for field, value in message.ListFields():
        if is_secret(field, names):
            yield from _texts(value)
            _hide(message, field)
        elif field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
            for each in _messages(value):
                yield from _mask(each, names)


def is_secret(field: FieldDescriptor, names: Collection[str] = ()) -> bool:
    """Whether a field holds a secret: by its proto, or by one of the names."""
    if field.full_name in SECRET_FIELDS or field.name in names or field.full_name in names:
        return True
    return field.has_options and bool(field.GetOptions().debug_redact)


def _hide(message: Any, field: FieldDescriptor) -> None:
    value = getattr(message, field.name)
    if isinstance(value, str):
        setattr(message, field.name, MASK)
    elif isinstance(value, bytes):
        setattr(message, field.name, MASK.encode())
    else:
        message.ClearField(field.name)


def _messages(value: Any) -> list[Message]:
    """The messages in the value of a field."""
    if isinstance(value, Message):
        return [value]
    return [each for each in (value.values() if hasattr(value, "values") else value) if isinstance(each, Message)]


def _texts(value: Any) -> Iterator[str]:
    """The texts in a value that is masked, so that they can be found elsewhere."""
    if isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, str):
        yield value
    elif isinstance(value, Message):
        for _, inner in value.ListFields():
            yield from _texts(inner)
    elif hasattr(value, "items"):
        for inner in value.values():
            yield from _texts(inner)
    elif hasattr(value, "__iter__"):
        for inner in value:
            yield from _texts(inner)


def masked_text(text: str, secrets: Collection[str]) -> str:
    """A text in which no secret stands any more."""
    forms = {form for secret in secrets for form in forms_of(secret)}
    for form in sorted(forms.union(secret for secret in secrets if len(secret) >= MIN_SECRET), key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def message_to_json(message: Message) -> dict[str, Any]:
    """A message as a JSON object, with the names of the proto."""
    value: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return value
