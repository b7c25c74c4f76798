"""A scripted stand-in for a model, as an MCP server: it sorts messages by their words, and answers. There is no intelligence in it.

    python3 desk.py
"""
import json
import sys

NAME = "desk"
TEXT = {"type": "string"}
WORDS = {"billing": ["invoice", "paid", "refund", "price"], "technical": ["crash", "error", "slow", "broken"]}


def classify(text):
    counts = {topic: sum(word in text.lower() for word in words) for topic, words in WORDS.items()}
    topic = max(counts, key=counts.get)
    return {"topic": topic if counts[topic] else "other"}


def billing(text):
    return {"answer": "Your invoice is being looked at."}


def technical(text):
    return {"answer": "Please send us the log."}


def general(text):
    return {"answer": "Thank you for writing."}


def tool(function, description, gives):
    return function, {
        "description": description,
        "inputSchema": {"type": "object", "properties": {"text": TEXT}, "required": ["text"]},
        "outputSchema": {"type": "object", "properties": {gives: TEXT}, "required": [gives]},
    }


TOOLS = {
    "classify": tool(classify, "Says what a message is about: billing, technical or other.", "topic"),
    "billing": tool(billing, "Answers what is about money.", "answer"),
    "technical": tool(technical, "Answers what is about machines.", "answer"),
    "general": tool(general, "Answers anything else.", "answer"),
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
