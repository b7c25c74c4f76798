"""An agent made with the official Python SDK in its 0.3 line, over all its bindings: it says back what it is told, in capitals and in two
pieces. It asks when it is told to `ask`, works for so many seconds between the two when it is told to `wait 3`, and calls webhooks.

    python python_v0_3_server.py PORT GRPC_PORT
"""
import asyncio
import sys

import grpc
import httpx
import uvicorn
from a2a.grpc import a2a_pb2_grpc
from a2a.server.agent_execution import AgentExecutor
from a2a.server.apps import A2ARESTFastAPIApplication, A2AStarletteApplication
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.tasks import (
    BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater,
)
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, TextPart
from a2a.utils import new_task


def text(words):
    return [Part(root=TextPart(text=words))]


class Shouter(AgentExecutor):
    async def execute(self, context, queue):
        said = context.get_user_input()
        task = context.current_task or new_task(context.message)
        if context.current_task is None:
            await queue.enqueue_event(task)
        updater = TaskUpdater(queue, task.id, task.context_id)
        if said == "ask":
            await updater.requires_input(updater.new_agent_message(text("What shall I say?")), final=True)
            return
        await updater.start_work(updater.new_agent_message(text("thinking")))
        half = len(said) // 2
        await updater.add_artifact(text(said[:half].upper()), artifact_id="said", name="said", last_chunk=False)
        if said.startswith("wait "):
            await asyncio.sleep(float(said.removeprefix("wait ")))
        await updater.add_artifact(text(said[half:].upper()), artifact_id="said", append=True, last_chunk=True)
        await updater.complete()

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


async def serve(port, grpc_port):
    url = f"http://127.0.0.1:{port}/"
    skill = AgentSkill(id="shout", name="shout", description="Says it in capitals.", tags=["text"])
    card = AgentCard(
        name="shouter", description="Says back what it is told, in capitals.", version="1", url=url, skills=[skill],
        preferred_transport="JSONRPC",
        additional_interfaces=[
            AgentInterface(url=url, transport="HTTP+JSON"),
            AgentInterface(url=f"127.0.0.1:{grpc_port}", transport="GRPC"),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True), default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
    )
    hooks = InMemoryPushNotificationConfigStore()
    sender = BasePushNotificationSender(httpx.AsyncClient(trust_env=False), hooks)
    handler = DefaultRequestHandler(Shouter(), InMemoryTaskStore(), push_config_store=hooks, push_sender=sender)
    over_grpc = grpc.aio.server()
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(card, handler), over_grpc)
    over_grpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await over_grpc.start()
    app = A2AStarletteApplication(card, handler).build()
    app.mount("/", A2ARESTFastAPIApplication(card, handler).build())
    await uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")).serve()


asyncio.run(serve(*map(int, sys.argv[1:])))
