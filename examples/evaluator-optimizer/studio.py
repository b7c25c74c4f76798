"""A scripted stand-in for a model, as an MCP server: it writes and judges, always in the same way. There is no intelligence in it.

    python3 studio.py
"""
import json
import sys

NAME = "studio"
TEXT = {"type": "string"}


def write(topic, feedback=""):
    parts = [f"{topic.capitalize()} are machines that weave."]
    if "who" in feedback:
        parts.append("Weavers work at them.")
    if "why" in feedback:
        parts.append("They make cloth.")
    return {"draft": " ".join(parts)}


def judge(draft):
    missing = [word for word, sign in [("who", "Weavers"), ("why", "cloth")] if sign not in draft]
    # One thing at a time, as editors do.
    return {"score": 10 - 3 * len(missing), "feedback": f"say {missing[0]}" if missing else "good"}


TOOLS = {
    "write": (write, {
        "description": "Writes about a topic, and minds the feedback.",
        "inputSchema": {"type": "object", "properties": {"topic": TEXT, "feedback": TEXT}, "required": ["topic"]},
        "outputSchema": {"type": "object", "properties": {"draft": TEXT}, "required": ["draft"]},
    }),
    "judge": (judge, {
        "description": "Says how good a draft is, from 0 to 10, and what is missing.",
        "inputSchema": {"type": "object", "properties": {"draft": TEXT}, "required": ["draft"]},
        "outputSchema": {
            "type": "object",
            "properties": {"score": {"type": "integer"}, "feedback": TEXT},
            "required": ["score", "feedback"],
        },
    }),
}


def answer(request):
    method, params = request["method"], request.get("params", {})
    if method == "initialize":
        info = {"name": NAME, "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": [{"name": name, **described} for name, (_, described) in TOOLS.items()]}
    if method == "tools/call":
        function, _ = TOOLS[params["name"]]
        result = function(**params.get("arguments", {}))
        return {"content": [{"type": "text", "text": json.dumps(result)}], "structuredContent": result}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer(request)}), flush=True)
