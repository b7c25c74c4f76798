"""An agent of Google's Agent Development Kit, without a model: it says back what it is told, in capitals.

    python adk_server.py PORT
"""
import sys
import warnings

import uvicorn
from google.adk.a2a.utils.agent_to_a2a import to_a2a
from google.adk.agents.base_agent import BaseAgent
from google.adk.events import Event
from google.genai import types

warnings.filterwarnings("ignore")


class Shouter(BaseAgent):
    async def _run_async_impl(self, ctx):
        said = "".join(part.text or "" for part in ctx.user_content.parts)
        content = types.Content(role="model", parts=[types.Part(text=said.upper())])
        yield Event(author=self.name, invocation_id=ctx.invocation_id, content=content)


port = int(sys.argv[1])
agent = Shouter(name="shouter", description="Says back what it is told, in capitals.")
uvicorn.run(to_a2a(agent, host="127.0.0.1", port=port), host="127.0.0.1", port=port, log_level="warning")
