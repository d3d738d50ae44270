"""uvicorn with the `tls` extension of ASGI, which it does not have itself: `python -m support.asgi_tls PORT DIR`."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol


class TellingProtocol(H11Protocol):
    """Adds what the client has shown to the scope of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # always of this kind
        super().connection_made(transport)
        app, shown = self.app, transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        chain = [ssl.DER_cert_to_PEM_cert(shown)] if shown else []

        async def telling(scope: Any, receive: Any, send: Any) -> None:
            told = {"client_cert_chain": chain, "client_cert_name": None, "client_cert_error": None}
            extensions = {**(scope.get("extensions") or {}), "tls": told}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app = telling


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    uvicorn.run(
        "plugmux.asgi:app",
        port=int(port),
        http=TellingProtocol,
        proxy_headers=False,
        ssl_certfile=f"{folder}/tls.crt",
        ssl_keyfile=f"{folder}/tls.key",
        ssl_ca_certs=f"{folder}/ca.crt",
        ssl_cert_reqs=ssl.CERT_OPTIONAL,
    )
