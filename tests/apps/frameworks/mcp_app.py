"""An MCP server over streamable HTTP."""

from fastmcp import FastMCP

server = FastMCP("demo")


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


app = server.http_app(path="/mcp", stateless_http=True)
