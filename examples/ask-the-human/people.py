"""An MCP server whose tool asks a person: its client shows the question, and brings the answer.

    python3 people.py
"""
import json
import sys

TOOL = {
    "name": "approve",
    "description": "Asks a person whether something may be done.",
    "inputSchema": {
        "type": "object",
        "properties": {"question": {"type": "string"}, "details": {"type": "string"}},
        "required": ["question"],
    },
    "outputSchema": {
        "type": "object",
        "properties": {"approved": {"type": "boolean"}, "why": {"type": "string"}},
        "required": ["approved"],
    },
}
ANSWER = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "May it be done?"},
        "why": {"type": "string", "title": "Why, in one line"},
    },
    "required": ["approve"],
}


def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def ask(request):
    arguments = request["params"].get("arguments", {})
    words = "\n".join(arguments[name] for name in ("question", "details") if name in arguments)
    # The answer comes under this id, whenever it comes.
    asked[f"ask-{request['id']}"] = request["id"]
    params = {"mode": "form", "message": words, "requestedSchema": ANSWER}
    send({"id": f"ask-{request['id']}", "method": "elicitation/create", "params": params})


def answered(request, answer):
    content = answer.get("content") or {}
    result = {"approved": answer["action"] == "accept" and content.get("approve", False), "why": content.get("why", "")}
    send({"id": request, "result": {"content": [{"type": "text", "text": json.dumps(result)}], "structuredContent": result}})


asked = {}
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method is None:
        answered(asked.pop(message["id"]), message.get("result") or {"action": "cancel"})
    elif method == "initialize":
        version = message["params"]["protocolVersion"]
        info = {"name": "people", "version": "1"}
        send({"id": message["id"], "result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}})
    elif method == "tools/list":
        send({"id": message["id"], "result": {"tools": [TOOL]}})
    elif method == "tools/call":
        ask(message)
    elif "id" in message:
        send({"id": message["id"], "result": {}})
