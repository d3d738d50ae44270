"""MCP's Python SDK over stdio: calls of a tool, and the launch of a server until it has been initialized."""

from __future__ import annotations

import os
import sys
import time

from measure import Bench, percentiles, run

LAUNCHES = 5


def serve() -> None:
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("bench", log_level="ERROR")

    @server.tool()
    def echo(payload: str) -> str:
        return payload

    server.run("stdio")


async def measure(bench: Bench) -> None:
    from mcp import ClientSession, StdioServerParameters, stdio_client

    parameters = StdioServerParameters(command=sys.executable, args=[__file__, "serve"], env=dict(os.environ))
    if bench.wants("launch"):
        took = []
        for _ in range(LAUNCHES):
            begin = time.perf_counter()
            async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
                await session.initialize()
                took.append(time.perf_counter() - begin)
        bench.row("launch", p50_us=percentiles(took)["p50_us"], n=LAUNCHES)
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()

        async def echo(payload: bytes) -> None:
            result = await session.call_tool("echo", {"payload": "x" * len(payload)})
            assert not result.is_error

        await bench.calls("unary-serial", 1, 100, echo)
        await bench.calls("unary-16", 16, 100, echo)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        run("mcp", measure)
