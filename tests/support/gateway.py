"""Gateways that other people's ASGI servers serve, and calls to them by curl."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["PATH", "PLUGIN", "call", "curl", "running"]

PLUGIN = """\
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse
from plugmux import Plugin
from plugmux.link.link import Link

class Store(KeyValueService):
    async def get(self, request, context):
        return GetResponse(value=request.key.encode())

Plugin(Store(), name="kv", version="v1.2.3").run()
"""

PATH = "kv.v1.KeyValueService/Get"


@contextlib.contextmanager
def running(*command: object, **environ: object) -> Iterator[subprocess.Popen[str]]:
    variables = os.environ | {name: str(value) for name, value in environ.items()}
    words = [sys.executable, *map(str, command)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=variables, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def curl(url: str, *options: str) -> tuple[int, str, str]:
    """The status, the head and the body of the answer; status 0 where there is none."""
    ran = subprocess.run(["curl", "-s", "-i", *options, url], capture_output=True, text=True, timeout=60, check=False)
    head, _, body = ran.stdout.partition("\n\n") if "\r\n" not in ran.stdout else ran.stdout.partition("\r\n\r\n")
    return (int(head.split()[1]) if head else 0), head.lower(), body


def call(gateway: str, *options: str) -> tuple[int, str, str]:
    return curl(f"{gateway}/{PATH}", "-H", "content-type: application/json", "-d", '{"key": "x"}', *options)
