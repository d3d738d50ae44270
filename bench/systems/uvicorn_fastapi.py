"""FastAPI on uvicorn, over a unix socket: a model that is answered with itself.

uvicorn parses with httptools, as FastAPI's documentation recommends, where that is installed.
"""

from __future__ import annotations

import sys

from fastapi import FastAPI
from json_load import ECHO, WORK, load
from pydantic import BaseModel
from uvicorn_server import serve, served

from measure import Bench, run

app = FastAPI()


class Echo(BaseModel):
    payload: str


@app.post(ECHO)
async def echo(request: Echo) -> Echo:
    return request


async def measure(bench: Bench) -> None:
    if not bench.wants(WORK):
        return
    async with served(__file__) as socket:
        await load(bench, socket)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(app, sys.argv[1])
    else:
        run("uvicorn-fastapi", measure)
