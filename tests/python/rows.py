"""An MCP server whose one tool gives a structured result of 300 KB, as it has promised. Standard library only."""

import json
import sys

OUTPUT = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "object", "required": ["row", "text"]}}},
    "required": ["rows"],
}
TOOL = {
    "name": "rows",
    "inputSchema": {"type": "object"},
    "outputSchema": OUTPUT,
    "annotations": {"readOnlyHint": True},
}


def answer(method, params):
    if method == "initialize":
        server = {"name": "rows", "version": "1.0"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}
    if method == "tools/list":
        return {"tools": [TOOL]}
    rows = {"rows": [{"row": row, "text": "x" * 1000} for row in range(300)]}
    return {"content": [{"type": "text", "text": json.dumps(rows)}], "structuredContent": rows}


for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") in ("initialize", "tools/list", "tools/call"):
        result = answer(message["method"], message.get("params"))
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    elif "id" in message:
        error = {"code": -32601, "message": "no such method"}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
