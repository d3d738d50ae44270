"""Connect RPC: services, clients, codecs, errors. https://connectrpc.com/docs/protocol

Generated code imports this module, so the import must be fast. What few programs need is in modules of its own: the
code generator (`plugmux.connect.codegen`), tracing (`plugmux.connect.tracing`), health checks and reflection
(`plugmux.services`). None of them imports httpx.
"""

from .client.client import Client
from .client.stream import BidiStream, ServerStream
from .client.sync import SyncClient
from .code import Code
from .error import ErrorDetail, RpcError
from .interceptor import Interceptor, StreamNext, UnaryNext
from .limits import RpcLimits
from .metadata import Metadata, MetadataLike
from .server.app import App, error_response
from .server.context import Context
from .server.service import RequestStream, Service, unimplemented
from .spec import Kind, MethodSpec, ServiceSpec

__all__ = [
    "App",
    "BidiStream",
    "Client",
    "Code",
    "Context",
    "ErrorDetail",
    "Interceptor",
    "Kind",
    "RpcLimits",
    "Metadata",
    "MetadataLike",
    "MethodSpec",
    "RequestStream",
    "RpcError",
    "ServerStream",
    "Service",
    "ServiceSpec",
    "StreamNext",
    "SyncClient",
    "UnaryNext",
    "error_response",
    "unimplemented",
]
