"""An MCP server on the official Python SDK, over streamable HTTP, in every revision that the SDK speaks.

    python remote.py PORT
"""
import asyncio
import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("remote")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts, and says how far it is."""
    for number in range(1, to + 1):
        await ctx.report_progress(number, to, f"at {number}")
        await asyncio.sleep(0.02)
    return f"counted to {to}"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("as it was asked to")


server.run("streamable-http", port=int(sys.argv[1]))
