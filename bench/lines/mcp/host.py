import asyncio
import sys

from mcp import ClientSession, StdioServerParameters, stdio_client


async def main():
    parameters = StdioServerParameters(command=sys.executable, args=["plugin.py"])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.call_tool("put", {"key": "a", "value": "1"})
        result = await session.call_tool("get", {"key": "a"})
        print(result.content[0].text)


asyncio.run(main())
