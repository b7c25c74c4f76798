"""An agent made with the official A2A SDK for Python that knows nothing of repeats: each message to it moves money once more.

    python teller.py CARD_URL LEDGER [streams]

Listens on a free port of the loopback address and prints it. Its card says that it is at CARD_URL, so that a test can stand in
between. Each transfer is a line in LEDGER. With `streams` its card says that it streams.
"""
import asyncio
import socket
import sys

import uvicorn
from a2a.helpers.proto_helpers import new_task_from_user_message, new_text_part
from a2a.server.agent_execution.agent_executor import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandlerV2
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette


class Teller(AgentExecutor):
    def __init__(self, ledger):
        self.ledger = ledger

    async def execute(self, context, event_queue):
        with open(self.ledger, "a") as ledger:
            ledger.write("100\n")
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        await updater.add_artifact([new_text_part("moved 100")])
        await updater.complete()

    async def cancel(self, context, event_queue):
        raise NotImplementedError


def main(url, ledger, streams):
    card = AgentCard(
        name="teller",
        description="Moves money.",
        version="1",
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=streams),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="pay", name="pay", description="Pays.", tags=["pay"])],
    )
    handler = DefaultRequestHandlerV2(Teller(ledger), InMemoryTaskStore(), card)
    app = Starlette(routes=[*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    asyncio.run(server.serve(sockets=[listener]))


main(sys.argv[1], sys.argv[2], "streams" in sys.argv[3:])
