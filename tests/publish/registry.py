"""A registry of npm with one package that is not published yet; for all others it points to the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def registry(package: Path, upstream: str) -> Iterator[str]:
    """The address of the registry, for the length of a block.

    Args:
        package: what `npm pack` has written.
        upstream: the address of the real registry.
    """
    data = package.read_bytes()
    with tarfile.open(package) as archive:
        member = archive.extractfile("package/package.json")
        assert member is not None
        manifest = json.loads(member.read())
    name, version = manifest["name"], manifest["version"]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/{name}":
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
                address = f"http://{self.headers['Host']}/tarball/{package.name}"
                entry = {**manifest, "dist": {"tarball": address, "integrity": integrity}}
                found = {"name": name, "dist-tags": {"latest": version}, "versions": {version: entry}}
                self.answer(json.dumps(found).encode(), "application/json")
            elif self.path == f"/tarball/{package.name}":
                self.answer(data, "application/octet-stream")
            else:
                self.send_response(302)
                self.send_header("Location", upstream.rstrip("/") + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
