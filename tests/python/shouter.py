"""An agent made with the official Python SDK: it says back what it is told, in capitals and in two pieces.

    python shouter.py PORT

It asks when it is told to `ask`, works for so many seconds between the two when it is told to `wait 3`, and prints each message that it takes.
"""
import asyncio
import sys

import uvicorn
from a2a.helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState
from starlette.applications import Starlette

port = int(sys.argv[1])


class Shouter(AgentExecutor):
    async def execute(self, context, event_queue):
        text = context.get_user_input()
        print("took", text, flush=True)
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        if text == "ask":
            return await updater.requires_input(new_text_message("how loud?"))
        half = len(text) // 2
        for n, piece in enumerate([text[:half], text[half:]]):
            part = new_text_part(piece.upper())
            await updater.add_artifact([part], artifact_id="shout", append=n > 0, last_chunk=n > 0)
            if n == 0 and text.startswith("wait "):
                await asyncio.sleep(float(text.removeprefix("wait ")))
        await updater.complete(new_text_message("shouted"))

    async def cancel(self, context, event_queue):
        print("canceled", flush=True)
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


card = AgentCard(
    name="shouter",
    description="Says it back in capitals.",
    version="1",
    supported_interfaces=[
        AgentInterface(url=f"http://127.0.0.1:{port}/", protocol_binding="JSONRPC", protocol_version="1.0")
    ],
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="shout", name="shout", description="Says it back.", tags=["text"])],
)
handler = DefaultRequestHandler(agent_executor=Shouter(), task_store=InMemoryTaskStore(), agent_card=card)
app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
