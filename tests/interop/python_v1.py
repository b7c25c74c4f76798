"""The scripted conversation by the official A2A SDK for Python in its 1.x line.

    python python_v1.py AGENT_URL TOKEN JSONRPC|HTTP+JSON|GRPC HOOK_URL

AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
"""
import asyncio
import sys

import grpc
import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.client.client import ClientCallContext
from a2a.client.interceptors import ClientCallInterceptor
from a2a.helpers.proto_helpers import get_text_parts, new_data_part, new_text_part
from a2a.types import (
    CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest,
    GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    ListTasksRequest,
    Message,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
    TaskState,
)
from steps import new_id, step, tell


class WithToken(ClientCallInterceptor):
    """Metadata of gRPC: without TLS, channel credentials are not to be had."""

    def __init__(self, token):
        self.token = token

    async def before(self, args):
        args.context = args.context or ClientCallContext()
        known = args.context.service_parameters or {}
        args.context.service_parameters = {**known, "authorization": f"Bearer {self.token}"}

    async def after(self, args):
        pass


def say(*parts, task=None, at_once=False, hook=None):
    message = Message(message_id=new_id(), role=Role.ROLE_USER, parts=list(parts))
    if task is not None:
        message.task_id, message.context_id = task.id, task.context_id
    request = SendMessageRequest(message=message)
    request.configuration.return_immediately = at_once
    if hook is not None:
        request.configuration.task_push_notification_config.CopyFrom(hook)
    return request


def call(skill, **arguments):
    return new_data_part({"skill": skill, "arguments": arguments}, media_type="application/json")


def texts(task):
    return [text for artifact in task.artifacts for text in get_text_parts(artifact.parts)]


async def one(client, request):
    answers = [answer async for answer in client.send_message(request)]
    assert len(answers) == 1, answers
    return answers[0].task


def last_state(events):
    states = [e.task.status.state if e.HasField("task") else e.status_update.status.state
              for e in events if e.HasField("task") or e.HasField("status_update")]
    return TaskState.Name(states[-1])


async def converse(url, token, binding, hook_url):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        async with step("card"):
            card = await A2ACardResolver(http, url).get_agent_card()
            assert {"echo", "get-sum"} <= {skill.id for skill in card.skills}, card
            spoken = [(i.protocol_binding, i.protocol_version) for i in card.supported_interfaces]
            assert (binding, "1.0") in spoken, spoken

        def client(streaming):
            config = ClientConfig(
                httpx_client=http, streaming=streaming, supported_protocol_bindings=[binding],
                use_client_preference=True, grpc_channel_factory=grpc.aio.insecure_channel,
            )
            return ClientFactory(config).create(card, interceptors=[WithToken(token)])

        blocking, streaming = client(False), client(True)
        async with step("send"):
            task = await one(blocking, say(call("echo", message="hello")))
            assert task.status.state == TaskState.TASK_STATE_COMPLETED, task
            assert any("hello" in text for text in texts(task)), task
        async with step("stream"):
            slow = call("trigger-long-running-operation", duration=1, steps=4)
            events = [event async for event in streaming.send_message(say(slow))]
            assert events[0].HasField("task") and last_state(events) == "TASK_STATE_COMPLETED", events
            assert any(event.HasField("artifact_update") for event in events), events
        async with step("question and answer"):
            asked = await one(blocking, say(new_text_part("get-sum a=1")))
            assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED, asked
            answer = new_data_part({"b": 2}, media_type="application/json")
            done = await one(blocking, say(answer, task=asked))
            assert done.id == asked.id and any("3" in text for text in texts(done)), done
        async with step("get"):
            again = await blocking.get_task(GetTaskRequest(id=task.id))
            assert again == task, (again, task)
        async with step("list"):
            page = await blocking.list_tasks(ListTasksRequest(page_size=2))
            assert done.id in [listed.id for listed in page.tasks] and page.total_size >= 3, page
        async with step("subscribe after a cut"):
            slow = call("trigger-long-running-operation", duration=2, steps=4)
            stream = streaming.send_message(say(slow))
            cut = (await anext(stream)).task
            await stream.aclose()
            events = [event async for event in streaming.subscribe(SubscribeToTaskRequest(id=cut.id))]
            assert events[0].task.id == cut.id and last_state(events) == "TASK_STATE_COMPLETED", events
        async with step("cancel"):
            long = call("trigger-long-running-operation", duration=30, steps=30)
            task = await one(blocking, say(long, at_once=True))
            canceled = await blocking.cancel_task(CancelTaskRequest(id=task.id))
            assert canceled.status.state == TaskState.TASK_STATE_CANCELED, canceled
        async with step("push configuration"):
            asked = await one(blocking, say(new_text_part("get-sum a=1")))
            config = TaskPushNotificationConfig(task_id=asked.id, url=hook_url, token="our-token")
            made = await blocking.create_task_push_notification_config(config)
            assert made.url == hook_url and made.id, made
            request = GetTaskPushNotificationConfigRequest(task_id=asked.id, id=made.id)
            assert (await blocking.get_task_push_notification_config(request)).url == hook_url
            request = ListTaskPushNotificationConfigsRequest(task_id=asked.id)
            listed = await blocking.list_task_push_notification_configs(request)
            assert [config.id for config in listed.configs] == [made.id], listed
            # What is answered now is delivered; what comes after the deletion would not be.
            await one(blocking, say(new_data_part({"b": 2}, media_type="application/json"), task=asked))
            other = await one(blocking, say(new_text_part("get-sum a=1")))
            config = TaskPushNotificationConfig(task_id=other.id, url=hook_url + "/deleted", token="our-token")
            made = await blocking.create_task_push_notification_config(config)
            request = DeleteTaskPushNotificationConfigRequest(task_id=other.id, id=made.id)
            await blocking.delete_task_push_notification_config(request)
            await one(blocking, say(new_data_part({"b": 2}, media_type="application/json"), task=other))
        if card.capabilities.extended_agent_card:
            async with step("extended card"):
                extended = await blocking.get_extended_agent_card(GetExtendedAgentCardRequest())
                assert {"echo"} <= {skill.id for skill in extended.skills}, extended
        else:
            tell("extended card", "the agent has none")


asyncio.run(converse(*sys.argv[1:]))
