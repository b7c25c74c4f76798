"""A host on the official Python SDK: it lists and calls a whole mesh as one MCP server.

    python mcp_host.py legacy|2026-07-28 http URL TOKEN
    python mcp_host.py legacy|2026-07-28 stdio COMMAND [ARGUMENT]…
"""
import asyncio
import json
import sys

import anyio
import httpx2
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import ElicitResult


async def main(mode, transport, *rest):
    if transport == "http":
        url, token = rest
        headers = {"Authorization": f"Bearer {token}"}
        server = streamable_http_client(url, http_client=httpx2.AsyncClient(headers=headers, timeout=60))
    else:
        server = StdioServerParameters(command=rest[0], args=list(rest[1:]))
    told, asked = [], []

    async def progress(value, total, message):
        told.append(value)

    async def elicit(context, params):
        asked.append(params.message)
        schema = params.requested_schema
        content = {name: "Ann" for name in schema.get("required", [])}
        return ElicitResult(action="accept", content=content)

    async with Client(server, mode=mode, elicitation_callback=elicit) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}

        async def call(name, arguments, **more):
            result = await client.call_tool(name, arguments, **more)
            texts = [block.text for block in result.content if block.type == "text"]
            return {"texts": texts, "error": bool(result.is_error), "structured": result.structured_content,
                    "kinds": [block.type for block in result.content]}

        async def cancel():
            """Says whether a call was begun and then given up."""
            scope, heard = anyio.CancelScope(), []

            async def enough(value, total, message):
                heard.append(value)
                scope.cancel()

            with scope:
                await call("long__trigger-long-running-operation", {"duration": 60, "steps": 600}, progress_callback=enough)
            # The server's answer to this comes after it has heard of the other.
            await call("mesh_agents", {})
            return "canceled" if heard and scope.cancelled_caught else "it ended"

        async def rows():
            """A large result of a tool that has promised a structure, which this SDK looks for."""
            result = await call("rows__rows", {})
            count = len((result["structured"] or {}).get("rows", []))
            return {"count": count, "error": result["error"], "kinds": result["kinds"]}

        arguments = {"duration": 1, "steps": 4}
        said = {
            "tools": sorted(tools),
            "sum": await call("everything__get-sum", {"a": 2, "b": 3}),
            "structured": await call("everything__get-structured-content", {"location": "Chicago"}),
            "image": await call("everything__get-tiny-image", {}),
            "links": await call("everything__get-resource-links", {"count": 2}),
            "wrong": await call("everything__get-sum", {"a": "x"}),
            "long": await call("everything__trigger-long-running-operation", arguments, progress_callback=progress),
            "read": await call("files__read_text_file", {"path": "a.txt"}),
            "rows": await rows(),
            "agents": await call("mesh_agents", {}),
            "asks": await call("everything__trigger-elicitation-request", {}),
            "progress": told,
            "asked": asked,
            "canceled": await cancel(),
        }
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
