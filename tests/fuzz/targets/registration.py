"""Any bytes as a registration: one whose parts are checked, `RegistrationRefused`, or no such message."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

from plugmux.contract.registration import Registration, RegistrationRefused


def check(data: bytes) -> None:
    """The bytes are those of a `RegisterPluginRequest`."""
    try:
        request = RegisterPluginRequest.FromString(data)
    except DecodeError:
        return
    try:
        registration = Registration.from_request(request)
    except RegistrationRefused as error:
        str(error).encode()
        return
    assert registration.name
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in registration.name)
