"""An agent of Google's Agent Development Kit asks a wrapped MCP server, as its users do: by RemoteA2aAgent.

    python adk_client.py AGENT_URL TOKEN JSONRPC HOOK_URL

Two turns of one session: a question that lacks an argument, and the answer; then a call that has all it needs.
"""
import asyncio
import sys
import warnings

import httpx
from google.adk.agents.remote_a2a_agent import RemoteA2aAgent
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.genai import types
from steps import step, tell

warnings.filterwarnings("ignore")


async def converse(url, token):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
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
        async with step("question and answer"):
            _, [asked] = await turn(types.Part(text="get-sum a=1"))
            assert "get-sum" in asked.args["input_required"], asked
            answer = types.FunctionResponse(id=asked.id, name=asked.name, response={"b": 2})
            said, _ = await turn(types.Part(function_response=answer))
            assert "3" in said, said
    tell("stream", "as the framework asks for it, in the steps above")


asyncio.run(converse(*sys.argv[1:3]))
