"""Connect RPC: services, clients, codecs, errors. https://connectrpc.com/docs/protocol

Generated code imports this module, so it stays light: what is needed by few is a module of its own, in here
(`plugmux.connect.codegen`, `plugmux.connect.tracing`) or above (`plugmux.services`), and httpx is imported for none
of it.
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
