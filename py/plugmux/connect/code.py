"""The codes with which a call can fail, and how they map to HTTP statuses. (Connect protocol, "Error codes".)"""

from __future__ import annotations

from enum import Enum

__all__ = ["Code"]


class Code(Enum):
    """Why a call failed; the value is the code's name on the wire.

    There is no code for success: a call that succeeds returns, and only one that fails raises an `RpcError`.
    """

    CANCELED = "canceled"
    """The caller has cancelled the call."""
    UNKNOWN = "unknown"
    """No other code describes the failure."""
    INVALID_ARGUMENT = "invalid_argument"
    """The request is invalid, whatever the state of the server."""
    DEADLINE_EXCEEDED = "deadline_exceeded"
    """The time limit expired; the operation may have been done all the same."""
    NOT_FOUND = "not_found"
    """The requested entity does not exist."""
    ALREADY_EXISTS = "already_exists"
    """The entity to be created exists already."""
    PERMISSION_DENIED = "permission_denied"
    """The caller is known, and does not have the permission."""
    RESOURCE_EXHAUSTED = "resource_exhausted"
    """A quota is used up, or a size limit exceeded."""
    FAILED_PRECONDITION = "failed_precondition"
    """The state of the server does not allow the operation; do not retry until the state has been changed."""
    ABORTED = "aborted"
    """The operation was aborted, as a rule because of a conflict; retry it from the beginning."""
    OUT_OF_RANGE = "out_of_range"
    """The request reaches beyond the valid range."""
    UNIMPLEMENTED = "unimplemented"
    """The server does not offer this method."""
    INTERNAL = "internal"
    """An invariant is broken: there is a defect in the server, or in something between it and the caller."""
    UNAVAILABLE = "unavailable"
    """The server cannot be reached now; retrying may help."""
    DATA_LOSS = "data_loss"
    """Data have been lost or corrupted beyond repair."""
    UNAUTHENTICATED = "unauthenticated"
    """The caller has not been authenticated."""

    @property
    def http_status(self) -> int:
        """The HTTP status of a unary response that fails with this code."""
        return _TO_HTTP[self]

    @classmethod
    def from_http(cls, status: int) -> Code:
        """The code of a response that carries no Connect error of its own, as from a proxy."""
        return _FROM_HTTP.get(status, cls.UNKNOWN)

    @classmethod
    def from_wire(cls, name: object) -> Code | None:
        """The code with this name, or `None` where no code has it."""
        return _BY_NAME.get(name) if isinstance(name, str) else None


_BY_NAME = {code.value: code for code in Code}

_TO_HTTP = {
    Code.CANCELED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}

_FROM_HTTP = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}
