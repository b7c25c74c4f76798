"""A host on the earlier line of the official Python SDK, which many hosts are built on: as `mcp_host.py`, without revisions to choose from.

    python mcp_host_v1.py http URL TOKEN
    python mcp_host_v1.py stdio COMMAND [ARGUMENT]…
"""
import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client


async def main(transport, *rest):
    if transport == "http":
        url, token = rest
        door = streamablehttp_client(url, headers={"Authorization": f"Bearer {token}"})
    else:
        door = stdio_client(StdioServerParameters(command=rest[0], args=list(rest[1:])))
    told, asked = [], []

    async def progress(value, total, message):
        told.append(value)

    async def elicit(context, params):
        asked.append(params.message)
        content = {name: "Ann" for name in params.requestedSchema.get("required", [])}
        return types.ElicitResult(action="accept", content=content)

    async with door as (read, write, *_), ClientSession(read, write, elicitation_callback=elicit) as session:
        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}

        async def call(name, arguments, **more):
            result = await session.call_tool(name, arguments, **more)
            texts = [block.text for block in result.content if block.type == "text"]
            return {"texts": texts, "error": bool(result.isError), "structured": result.structuredContent,
                    "kinds": [block.type for block in result.content]}

        async def cancel():
            """Says whether a call was begun and then given up. This line of the SDK leaves it to its host to say so."""
            heard = asyncio.Event()

            async def enough(value, total, message):
                heard.set()

            arguments = {"duration": 60, "steps": 600}
            calling = asyncio.create_task(
                call("long__trigger-long-running-operation", arguments, progress_callback=enough))
            await asyncio.wait_for(heard.wait(), 30)
            params = types.CancelledNotificationParams(requestId=session._request_id - 1, reason="enough")
            note = types.CancelledNotification(method="notifications/cancelled", params=params)
            await session.send_notification(types.ClientNotification(note))
            calling.cancel()
            await asyncio.wait([calling])
            # The server's answer to this comes after it has heard of the other.
            await call("mesh_agents", {})
            return "canceled" if calling.cancelled() else "it ended"

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
