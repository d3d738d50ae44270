"""The server under test: our app on our HTTP server, by TCP or TLS; with `--link` connections cross a mux link."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

from connectrpc.conformance.v1 import server_compat_pb2 as compat
from service import Conformance
from wire import read, stdin, write

from plugmux.connect import App, RpcLimits
from plugmux.http import Server


def tls(request: Any) -> ssl.SSLContext | None:
    if not request.use_tls:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert.write_bytes(request.server_creds.cert)
        key.write_bytes(request.server_creds.key)
        context.load_cert_chain(cert, key)
    if request.client_tls_cert:
        context.load_verify_locations(cadata=request.client_tls_cert.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def over_link(app: Any) -> Any:
    """A protocol factory that carries each connection over a stream of a link, to a server behind it."""
    from bridge import Bridge

    from plugmux.yamux import Mux

    near, far = Mux(client=True), Mux(client=False)
    server = Server(app)
    far.listen(server.protocol)
    loop = asyncio.get_running_loop()
    ends = socket.socketpair()
    await loop.create_connection(lambda: near, sock=ends[0])
    await loop.create_connection(lambda: far, sock=ends[1])
    return lambda: Bridge(near.open)


async def main() -> None:
    request = await read(await stdin(), compat.ServerCompatRequest)
    limits = RpcLimits(receive=request.message_receive_limit) if request.message_receive_limit else None
    app = App([Conformance()], limits=limits, compress_min=0)
    factory = await over_link(app) if "--link" in sys.argv else Server(app).protocol
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls(request))
    port = listener.sockets[0].getsockname()[1]
    write(compat.ServerCompatResponse(host="127.0.0.1", port=port, pem_cert=request.server_creds.cert))
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    with contextlib.suppress(asyncio.CancelledError):
        await stop.wait()


asyncio.run(main())
