"""The description of a service: its methods, their kinds and their message types. Generated code consists of these."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["Kind", "MethodSpec", "ServiceSpec"]

Req = TypeVar("Req", bound="Message")
Res = TypeVar("Res", bound="Message")


class Kind(Enum):
    """Which directions stream: (the requests, the responses)."""

    UNARY = (False, False)
    CLIENT_STREAM = (True, False)
    SERVER_STREAM = (False, True)
    BIDI_STREAM = (True, True)

    @property
    def client_streams(self) -> bool:
        return self.value[0]

    @property
    def server_streams(self) -> bool:
        return self.value[1]


class MethodSpec(Generic[Req, Res]):
    """One method of a service.

    Args:
        path: `"/<package>.<Service>/<Method>"`.
        attribute: the name of the Python method.
        kind: which directions stream.
        request: the class of the requests.
        response: the class of the responses.
        no_side_effects: whether the proto sets `idempotency_level = NO_SIDE_EFFECTS`, which allows HTTP GET.
    """

    __slots__ = ("attribute", "kind", "no_side_effects", "path", "request", "response")

    def __init__(
        self,
        path: str,
        attribute: str,
        kind: Kind,
        request: type[Req],
        response: type[Res],
        *,
        no_side_effects: bool = False,
    ) -> None:
        self.path = path
        self.attribute = attribute
        self.kind = kind
        self.request = request
        self.response = response
        self.no_side_effects = no_side_effects

    @property
    def service(self) -> str:
        """The full name of the service."""
        return self.path[1:].partition("/")[0]

    @property
    def name(self) -> str:
        """The name of the method in the proto."""
        return self.path.rpartition("/")[2]

    def __repr__(self) -> str:
        return f"<MethodSpec {self.path} {self.kind.name.lower()}>"


class ServiceSpec:
    """One service.

    Args:
        name: its full name in the proto, `"kv.v1.KeyValueService"`.
        methods: its methods, in the order of the proto.
    """

    __slots__ = ("methods", "name")

    def __init__(self, name: str, methods: Sequence[MethodSpec[Any, Any]]) -> None:
        self.name = name
        self.methods = tuple(methods)

    def __repr__(self) -> str:
        return f"<ServiceSpec {self.name}>"
