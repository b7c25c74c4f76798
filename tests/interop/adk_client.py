"""An agent of Google's Agent Development Kit asks a wrapped MCP server, as its users do: by RemoteA2aAgent.

    python adk_client.py AGENT_URL TOKEN JSONRPC HOOK_URL

Turns of one session: a call that has all it needs, one that takes a while, and one that lacks an argument, which is asked for.
"""
import asyncio
import sys
import warnings

import httpx
from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types
from steps import step

warnings.filterwarnings("ignore")


async def converse(url, token):
    media_types = []

    async def note(response):
        media_types.append(response.headers.get("content-type", ""))

    headers, hooks = {"Authorization": f"Bearer {token}"}, {"response": [note]}
    async with httpx.AsyncClient(headers=headers, event_hooks=hooks, timeout=30) as http:
        agent = RemoteA2aAgent(name="everything", agent_card=f"{url}/.well-known/agent-card.json", httpx_client=http)
        sessions = InMemorySessionService()
        await sessions.create_session(app_name="interop", user_id="ann", session_id="s1")
        runner = Runner(app_name="interop", agent=agent, session_service=sessions)

        async def turn(part):
            """What was said, and what was asked."""
            message = types.Content(role="user", parts=[part])
            said, asked = [], []
            async for event in runner.run_async(user_id="ann", session_id="s1", new_message=message):
                assert not event.error_message, event.error_message
                for part in event.content.parts or [] if event.content else []:
                    said.append(part.text or "")
                    asked += [part.function_call] if part.function_call else []
            return "\n".join(said), asked

        async with step("card"):
            await http.get(f"{url}/.well-known/agent-card.json")
        async with step("send"):
            said, _ = await turn(types.Part(text="get-sum a=2 b=40"))
            assert "42" in said, said
        async with step("stream"):
            media_types.clear()
            said, _ = await turn(types.Part(text="trigger-long-running-operation duration=1 steps=4"))
            assert "operation completed" in said, said
            # The framework has no call of its own for it: it streams what it sends, where the card says that it can.
            assert any(media_type.startswith("text/event-stream") for media_type in media_types), media_types
        async with step("question and answer"):
            _, [asked] = await turn(types.Part(text="get-sum a=1"))
            assert "get-sum" in asked.args["input_required"], asked
            answer = types.FunctionResponse(id=asked.id, name=asked.name, response={"b": 2})
            said, _ = await turn(types.Part(function_response=answer))
            assert "3" in said, said


asyncio.run(converse(*sys.argv[1:3]))
