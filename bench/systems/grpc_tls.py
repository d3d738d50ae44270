"""grpc.aio over TLS, with certificates at both ends.

python grpc_tls.py serve FOLDER PORT
python grpc_tls.py [-works LIST] [-seconds S] FOLDER PORT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import grpc.aio
from grpc_aio import UNLIMITED, measure_over, serve

from measure import Bench, remote_arguments


def files(folder: Path) -> tuple[bytes, bytes, bytes]:
    """The CA, the key and the certificate of one end."""
    ca, key, cert = ((folder / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    return ca, key, cert


async def measure(bench: Bench, folder: Path, port: int) -> None:
    credentials = grpc.ssl_channel_credentials(*files(folder / "runtime"))
    await measure_over(bench, grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=UNLIMITED))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ca, key, cert = files(Path(sys.argv[2]) / "plugin")
        credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
        asyncio.run(serve(f"127.0.0.1:{sys.argv[3]}", credentials))
    bench, folder, port = remote_arguments("grpc-aio")
    asyncio.run(measure(bench, folder, port))
