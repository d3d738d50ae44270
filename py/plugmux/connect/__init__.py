"""Connect RPC: services, clients, codecs, errors. https://connectrpc.com/docs/protocol

Generated code imports this module, so it stays light: what is needed by few is a module of its own, in here
(`plugmux.connect.generator`) or above (`plugmux.services`, `plugmux.otel`), and httpx is imported for none of it.
"""

from .client import Client
from .client_stream import BidiStream, ServerStream
from .code import Code
from .context import Context
from .error import ErrorDetail, RpcError
from .interceptor import Interceptor, StreamNext, UnaryNext
from .limits import Limits
from .metadata import Metadata, MetadataLike
from .server import App, error_response
from .service import RequestStream, Service, unimplemented
from .spec import Kind, MethodSpec, ServiceSpec
from .sync import SyncClient

__all__ = [
    "App",
    "BidiStream",
    "Client",
    "Code",
    "Context",
    "ErrorDetail",
    "Interceptor",
    "Kind",
    "Limits",
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
