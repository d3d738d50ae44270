"""The service by which the peer gives back what this end has lent it."""

from __future__ import annotations

from plugmux_proto.plugmux.v1.reference_connect import ReferenceService
from plugmux_proto.plugmux.v1.reference_pb2 import ReleaseRequest, ReleaseResponse

from ..connect import Context
from .references import References

__all__ = ["Releasing"]


class Releasing(ReferenceService):
    """Releases what was lent on the link that the call comes on."""

    async def release(self, request: ReleaseRequest, context: Context) -> ReleaseResponse:
        references = context.connection.get("references")
        if isinstance(references, References):
            await references.release(request.reference)
        return ReleaseResponse()
