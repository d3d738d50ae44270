from mcp.server.mcpserver import MCPServer

server = MCPServer("store")
values = {}


@server.tool()
def put(key: str, value: str) -> None:
    values[key] = value


@server.tool()
def get(key: str) -> str:
    return values[key]


server.run("stdio")
