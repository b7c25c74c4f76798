"""An agent made with the official Python SDK that calls webhooks, over all its bindings. It asks what it shall shout, and shouts the answer.

    python python_v1_server.py PORT GRPC_PORT
"""
import asyncio
import sys

import grpc
import httpx
import uvicorn
from a2a.helpers import new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import (
    BasePushNotificationSender, InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater,
)
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, a2a_pb2_grpc
from starlette.applications import Starlette

port, grpc_port = (int(port) for port in sys.argv[1:])


class Shouter(AgentExecutor):
    async def execute(self, context, queue):
        task = context.current_task
        if task is None:
            task = new_task_from_user_message(context.message)
            await queue.enqueue_event(task)
            return await TaskUpdater(queue, task.id, task.context_id).requires_input(new_text_message("what?"))
        updater = TaskUpdater(queue, task.id, task.context_id)
        await updater.add_artifact([new_text_part(context.get_user_input().upper())], artifact_id="shout")
        await updater.complete(new_text_message("shouted"))

    async def cancel(self, context, queue):
        await TaskUpdater(queue, context.task_id, context.context_id).cancel()


async def serve():
    at = f"http://127.0.0.1:{port}"
    interfaces = [("JSONRPC", f"{at}/"), ("HTTP+JSON", f"{at}/rest"), ("GRPC", f"http://127.0.0.1:{grpc_port}")]
    card = AgentCard(
        name="shouter", description="Says it back in capitals.", version="1",
        supported_interfaces=[
            AgentInterface(url=url, protocol_binding=binding, protocol_version="1.0") for binding, url in interfaces
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True),
        default_input_modes=["text/plain"], default_output_modes=["text/plain"],
        skills=[AgentSkill(id="shout", name="shout", description="Says it back.", tags=["text"])],
    )
    hooks = InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(
        agent_executor=Shouter(), task_store=InMemoryTaskStore(), agent_card=card, push_config_store=hooks,
        push_sender=BasePushNotificationSender(httpx.AsyncClient(trust_env=False), hooks),
    )
    server = grpc.aio.server()
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    routes = [
        *create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/"),
        *create_rest_routes(handler, path_prefix="/rest"),
    ]
    await uvicorn.Server(uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")).serve()


asyncio.run(serve())
