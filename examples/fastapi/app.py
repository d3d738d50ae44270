"""A web application that embeds the runtime: it starts with the application, and a route calls a plugin.

uvicorn --app-dir examples/fastapi app:app
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypedDict

from fastapi import Depends, FastAPI, Request, Response
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Policies, Runtime, Timeouts
from plugmux.connect import Code, RpcError

PLUGIN = [sys.executable, str(Path(__file__).parents[1] / "python-plugin" / "python-plugin")]
STATUS = {Code.NOT_FOUND: 404, Code.UNAVAILABLE: 503, Code.DEADLINE_EXCEEDED: 504}


class State(TypedDict):
    """The state that every request has as `request.state`."""

    runtime: Runtime


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Run the plugins as long as the application runs."""
    async with Runtime([PLUGIN], policies=Policies(timeouts=Timeouts(registration=20))) as runtime:
        yield {"runtime": runtime}


app = FastAPI(lifespan=lifespan)


def key_value(request: Request) -> KeyValueClient:
    """The client that a route asks for."""
    runtime: Runtime = request.state.runtime
    return runtime.client(KeyValueClient, timeout=5.0)


Store = Annotated[KeyValueClient, Depends(key_value)]


@app.exception_handler(RpcError)
async def failed(request: Request, error: RpcError) -> Response:
    """Turn the error of a failed call into the HTTP status that fits."""
    return Response(error.message, STATUS.get(error.code, 502))


@app.get("/values/{key}")
async def get_value(key: str, store: Store) -> Response:
    reply = await store.get(GetRequest(key=key))
    return Response(reply.value)


@app.put("/values/{key}", status_code=204)
async def put_value(key: str, request: Request, store: Store) -> None:
    await store.put(PutRequest(key=key, value=await request.body()))


@app.get("/plugins")
async def plugins(request: Request) -> dict[str, str]:
    return {plugin.name: plugin.state.value for plugin in request.state.runtime.plugins()}
