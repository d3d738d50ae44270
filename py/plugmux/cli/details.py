"""The typed details of an RPC error as text: JSON where the message type is known, else bytes in base64."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

    from ..connect import RpcError
    from ..connect.error import ErrorDetail

__all__ = ["details_of"]

KNOWN = ("google.protobuf.wrappers_pb2", "google.protobuf.struct_pb2", "google.rpc.error_details_pb2")
"""Modules whose messages are details as a rule; the last is of a package that need not be there."""


def details_of(error: RpcError, pools: Iterable[DescriptorPool] = ()) -> str:
    """A line for each detail of an error, each behind a line break; empty where it has none.

    Args:
        error: the error.
        pools: what is known of message types besides what this process has loaded, such as the plugin's own.
    """
    if not error.details:
        return ""
    from google.protobuf import descriptor_pool

    for module in KNOWN:
        try:
            import_module(module)
        except ImportError:
            continue
    known = [*pools, descriptor_pool.Default()]
    return "".join(f"\n  {detail.type_name}: {_text(detail, known)}" for detail in error.details)


def _text(detail: ErrorDetail, pools: Iterable[Any]) -> str:
    from google.protobuf import json_format, message_factory
    from google.protobuf.message import DecodeError

    for pool in pools:
        try:
            message = message_factory.GetMessageClass(pool.FindMessageTypeByName(detail.type_name))()
            message.ParseFromString(detail.value)
            return json_format.MessageToJson(message, indent=None, descriptor_pool=pool)
        except (KeyError, DecodeError, TypeError, ValueError):
            continue
    return base64.b64encode(detail.value).decode()
