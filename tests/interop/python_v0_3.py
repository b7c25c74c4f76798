"""The scripted conversation by the official A2A SDK for Python in its 0.3 line, which widely deployed frameworks still use.

    python python_v0_3.py AGENT_URL TOKEN JSONRPC|HTTP+JSON|GRPC HOOK_URL

AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
"""
import asyncio
import sys

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import (
    DataPart,
    GetTaskPushNotificationConfigParams,
    Message,
    Part,
    PushNotificationConfig,
    Role,
    TaskIdParams,
    TaskPushNotificationConfig,
    TaskQueryParams,
    TaskState,
    TextPart,
)
from steps import new_id, step, tell


def text(words):
    return Part(root=TextPart(text=words))


def data(value):
    return Part(root=DataPart(data=value))


def call(skill, **arguments):
    return data({"skill": skill, "arguments": arguments})


def say(part, task=None):
    ids = {} if task is None else {"task_id": task.id, "context_id": task.context_id}
    return Message(message_id=new_id(), role=Role.user, parts=[part], **ids)


def texts(task):
    return [part.root.text for artifact in task.artifacts or [] for part in artifact.parts
            if isinstance(part.root, TextPart)]


async def converse(url, token, binding, hook_url):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        async with step("card"):
            card = await A2ACardResolver(http, url).get_agent_card()
            assert {"echo", "get-sum"} <= {skill.id for skill in card.skills}, card
            spoken = [card.preferred_transport] + [i.transport for i in card.additional_interfaces or []]
            assert binding in spoken, spoken
            assert card.protocol_version.startswith("0.3"), card.protocol_version

        def signed(details):
            metadata = list(details.metadata or []) + [("authorization", f"Bearer {token}")]
            return grpc.aio.ClientCallDetails(
                details.method, details.timeout, metadata, details.credentials, details.wait_for_ready)

        class One(grpc.aio.UnaryUnaryClientInterceptor):
            async def intercept_unary_unary(self, continuation, details, request):
                return await continuation(signed(details), request)

        class Many(grpc.aio.UnaryStreamClientInterceptor):
            async def intercept_unary_stream(self, continuation, details, request):
                return await continuation(signed(details), request)

        def channel(target):
            return grpc.aio.insecure_channel(target.removeprefix("http://"), interceptors=[One(), Many()])

        def client(streaming, polling=False):
            config = ClientConfig(httpx_client=http, streaming=streaming, polling=polling,
                                  supported_transports=[binding], use_client_preference=True,
                                  grpc_channel_factory=channel)
            return ClientFactory(config).create(card)

        blocking, polling, streaming = client(False), client(False, True), client(True)

        async def one(message, client=blocking):
            answers = [answer async for answer in client.send_message(message)]
            assert len(answers) == 1, answers
            return answers[0][0] if isinstance(answers[0], tuple) else answers[0]

        async with step("send"):
            task = await one(say(call("echo", message="hello")))
            assert task.status.state == TaskState.completed and any("hello" in t for t in texts(task)), task
        async with step("stream"):
            slow = call("trigger-long-running-operation", duration=1, steps=4)
            events = [event async for event in streaming.send_message(say(slow))]
            assert events[-1][0].status.state == TaskState.completed and len(events) > 3, events
            assert events[-1][1].final, events[-1]
            assert texts(events[-1][0]), events[-1]
        async with step("question and answer"):
            asked = await one(say(text("get-sum a=1")))
            assert asked.status.state == TaskState.input_required, asked
            events = [event async for event in streaming.send_message(say(data({"b": 2}), asked))]
            done = events[-1][0]
            assert done.id == asked.id and done.status.state == TaskState.completed, done
            assert any("3" in t for t in texts(done)), done
        async with step("get"):
            again = await blocking.get_task(TaskQueryParams(id=task.id))
            assert again == task, (again, task)
        tell("list", "0.3 has it over REST and gRPC only, and this SDK has no call for it")
        async with step("subscribe after a cut"):
            slow = call("trigger-long-running-operation", duration=2, steps=4)
            stream = streaming.send_message(say(slow))
            cut = (await anext(stream))[0]
            await stream.aclose()
            events = [event async for event in streaming.resubscribe(TaskIdParams(id=cut.id))]
            assert events[-1][0].status.state == TaskState.completed, events
        async with step("cancel"):
            long = call("trigger-long-running-operation", duration=30, steps=30)
            task = await one(say(long), polling)
            assert task.status.state in (TaskState.submitted, TaskState.working), task
            canceled = await blocking.cancel_task(TaskIdParams(id=task.id))
            assert canceled.status.state == TaskState.canceled, canceled
        async with step("push configuration"):
            asked = await one(say(text("get-sum a=1")))
            config = PushNotificationConfig(url=hook_url, token="our-token")
            made = await blocking.set_task_callback(
                TaskPushNotificationConfig(task_id=asked.id, push_notification_config=config))
            made = made.push_notification_config
            assert made.url == hook_url and made.id, made
            params = GetTaskPushNotificationConfigParams(id=asked.id, push_notification_config_id=made.id)
            got = await blocking.get_task_callback(params)
            assert got.push_notification_config.url == hook_url, got
            await one(say(data({"b": 2}), asked))
        if card.supports_authenticated_extended_card:
            async with step("extended card"):
                extended = await blocking.get_card()
                assert {"echo"} <= {skill.id for skill in extended.skills}, extended
        else:
            tell("extended card", "the agent has none")


asyncio.run(converse(*sys.argv[1:]))
