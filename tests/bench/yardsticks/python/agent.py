"""The yardstick agent on the official Python SDK: one artifact with the text that came; four events; in memory."""

import asyncio
import socket

import uvicorn
from a2a.helpers.proto_helpers import get_message_text, new_task_from_user_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from starlette.applications import Starlette


class Echo(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        message = context.message
        message.task_id = context.task_id
        message.context_id = context.context_id
        await event_queue.enqueue_event(new_task_from_user_message(message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        await updater.add_artifact([new_text_part(get_message_text(message))], artifact_id='echo')
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError('an echo is over before it can be cancelled')


def card(url: str) -> AgentCard:
    return AgentCard(
        name='echo',
        description='Says what was said.',
        version='1.0.0',
        supported_interfaces=[AgentInterface(url=url, protocol_binding='JSONRPC', protocol_version='1.0')],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=['text/plain'],
        default_output_modes=['text/plain'],
        skills=[AgentSkill(id='echo', name='echo', description='Says what was said.', tags=['echo'])],
    )


async def main() -> None:
    # Bound here, so that the port is known: port 0 everywhere.
    listener = socket.create_server(('127.0.0.1', 0), backlog=1024)
    # A socket that is handed over is not told so by the loop, and without it each answer waits 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    url = f'http://127.0.0.1:{listener.getsockname()[1]}'
    agent_card = card(url)
    handler = DefaultRequestHandler(Echo(), InMemoryTaskStore(), agent_card)
    app = Starlette(routes=[*create_agent_card_routes(agent_card), *create_jsonrpc_routes(handler, '/')])
    server = uvicorn.Server(uvicorn.Config(app, log_level='warning', access_log=False))
    print(f'listening on {url}', flush=True)
    await server.serve(sockets=[listener])


if __name__ == '__main__':
    asyncio.run(main())
