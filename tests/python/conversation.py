"""A conversation of the official A2A SDK for Python with a wrapped MCP server: @modelcontextprotocol/server-everything.

    python conversation.py CARD_URL TOKEN

Send, stream, get, list, cancel, subscribe, and two rounds of input-required: a question of Bobbinet's for missing arguments,
and an elicitation of the server's. Nothing here knows Bobbinet; it ends with 0 if all is as A2A 1.0 says.
"""
import asyncio
import sys
import uuid

import httpx
from a2a.client import A2ACardResolver, A2AClientError, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import get_data_parts, get_text_parts, new_data_part, new_text_part
from a2a.types import (
    CancelTaskRequest,
    GetTaskRequest,
    ListTasksRequest,
    Message,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskState,
)
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

COMPLETED = TaskState.TASK_STATE_COMPLETED
INPUT_REQUIRED = TaskState.TASK_STATE_INPUT_REQUIRED
CANCELED = TaskState.TASK_STATE_CANCELED


def say(*parts, task=None, at_once=False):
    message = Message(message_id=uuid.uuid4().hex, role=Role.ROLE_USER, parts=list(parts))
    if task is not None:
        message.task_id = task.id
        message.context_id = task.context_id
    request = SendMessageRequest(message=message)
    request.configuration.return_immediately = at_once
    return request


def call(skill, **arguments):
    return new_data_part({"skill": skill, "arguments": arguments}, media_type="application/json")


def texts(task):
    return [text for artifact in task.artifacts for text in get_text_parts(artifact.parts)]


async def one(client, request):
    """A blocking send: its one answer."""
    answers = [answer async for answer in client.send_message(request)]
    assert len(answers) == 1, answers
    return answers[0].task


def states(events):
    """The states that a stream told of, the snapshot's first, without repeats."""
    seen = []
    for event in events:
        state = None
        if event.HasField("task"):
            state = event.task.status.state
        elif event.HasField("status_update"):
            state = event.status_update.status.state
        if state is not None and (not seen or seen[-1] != state):
            seen.append(state)
    return [TaskState.Name(state) for state in seen]


async def converse(card_url, token):
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        card = await A2ACardResolver(http, card_url).get_agent_card()
        assert {"echo", "get-sum"} <= {skill.id for skill in card.skills}, card
        blocking = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
        streaming = ClientFactory(ClientConfig(httpx_client=http, streaming=True)).create(card)

        print("send")
        task = await one(blocking, say(call("echo", message="hello")))
        assert task.status.state == COMPLETED and any("hello" in text for text in texts(task)), task
        task = await one(blocking, say(new_text_part("get-sum a=2 b=40")))
        assert task.status.state == COMPLETED and any("42" in text for text in texts(task)), task

        print("get, list")
        again = await blocking.get_task(GetTaskRequest(id=task.id))
        assert again == task, (again, task)
        page = await blocking.list_tasks(ListTasksRequest(page_size=1))
        assert [listed.id for listed in page.tasks] == [task.id] and page.total_size == 2, page
        rest = await blocking.list_tasks(ListTasksRequest(page_size=1, page_token=page.next_page_token))
        assert len(rest.tasks) == 1 and rest.tasks[0].id != task.id and not rest.next_page_token, rest

        print("stream")
        long = call("trigger-long-running-operation", duration=1, steps=4)
        events = [event async for event in streaming.send_message(say(long))]
        assert events[0].HasField("task"), events[0]
        assert states(events)[-2:] == ["TASK_STATE_WORKING", "TASK_STATE_COMPLETED"], states(events)
        assert any(event.HasField("artifact_update") for event in events), events
        progress = [event for event in events if event.HasField("status_update")]
        assert len(progress) >= 4, events

        print("stream: line ends within a text, and a question")
        ends = "a\u0085b\u2028c\u2029d\x0be\x1cf\r\ng"
        events = [event async for event in streaming.send_message(say(call("echo", message=ends)))]
        echoed = [text for event in events if event.HasField("artifact_update")
                  for text in get_text_parts(event.artifact_update.artifact.parts)]
        assert any(ends in text for text in echoed), echoed
        # The turn is over when the task asks: without an end of the stream this would wait for ever.
        events = [event async for event in streaming.send_message(say(new_text_part("get-sum a=1")))]
        assert states(events)[-1] == "TASK_STATE_INPUT_REQUIRED", states(events)
        answer = say(new_data_part({"b": 2}, media_type="application/json"), task=events[0].task)
        events = [event async for event in streaming.send_message(answer)]
        assert states(events)[-1] == "TASK_STATE_COMPLETED", states(events)

        print("stream: silent for longer than the HTTP client waits")
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as impatient:
            assert impatient.timeout.read == 5, impatient.timeout
            patient = ClientFactory(ClientConfig(httpx_client=impatient, streaming=True)).create(card)
            slow = call("trigger-long-running-operation", duration=8, steps=1)
            events = [event async for event in patient.send_message(say(slow))]
            assert states(events)[-1] == "TASK_STATE_COMPLETED", states(events)

        print("subscribe, cancel")
        task = await one(blocking, say(call("trigger-long-running-operation", duration=30, steps=30), at_once=True))
        subscription = streaming.subscribe(SubscribeToTaskRequest(id=task.id))
        events = [await anext(subscription)]
        assert events[0].task.id == task.id, events
        canceled = await blocking.cancel_task(CancelTaskRequest(id=task.id))
        assert canceled.status.state == CANCELED, canceled
        events += [event async for event in subscription]
        assert states(events)[-1] == "TASK_STATE_CANCELED", states(events)
        try:
            await blocking.cancel_task(CancelTaskRequest(id=task.id))
            raise AssertionError("a task was canceled twice")
        except TaskNotCancelableError as error:
            print("  ", type(error).__name__, error)

        print("input-required: missing arguments")
        task = await one(blocking, say(new_text_part("get-sum a=1")))
        assert task.status.state == INPUT_REQUIRED, task
        task = await one(blocking, say(new_data_part({"b": 2}, media_type="application/json"), task=task))
        assert task.status.state == COMPLETED and any("3" in text for text in texts(task)), task

        print("input-required: elicitation")
        task = await one(blocking, say(call("trigger-elicitation-request")))
        assert task.status.state == INPUT_REQUIRED, task
        [asked] = get_data_parts(task.status.message.parts)
        assert "name" in asked["requestedSchema"]["properties"], asked
        answer = new_data_part({"action": "accept", "content": {"name": "Ada"}}, media_type="application/json")
        task = await one(blocking, say(answer, task=task))
        assert task.status.state == COMPLETED and any("Ada" in text for text in texts(task)), task

        print("errors")
        for request in [GetTaskRequest(id=str(uuid.uuid4())), GetTaskRequest(id="no-uuid")]:
            try:
                await blocking.get_task(request)
                raise AssertionError("a task was found that never was")
            except TaskNotFoundError as error:
                print("  ", type(error).__name__, error)
    async with httpx.AsyncClient() as http:
        stranger = ClientFactory(ClientConfig(httpx_client=http, streaming=False)).create(card)
        try:
            await one(stranger, say(call("echo", message="hello")))
            raise AssertionError("somebody without a token was served")
        except A2AClientError as error:
            print("  ", type(error).__name__, error)


asyncio.run(converse(sys.argv[1], sys.argv[2]))
print("ok")
