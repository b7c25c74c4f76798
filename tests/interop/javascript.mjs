// The scripted conversation by the official A2A SDK for JavaScript, in A2A 1.0 or, by its compatibility layer, in 0.3.
//
//     node javascript.mjs NODE_MODULES 1.0|0.3 AGENT_URL TOKEN JSONRPC|HTTP+JSON HOOK_URL
//
// AGENT_URL is that of a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , modules, version, url, token, binding, hookUrl] = process.argv;
const load = (name) => import(pathToFileURL(createRequire(`${modules}/x.js`).resolve(name)));
const { TaskState, Role } = await load('@a2a-js/sdk');
const { ClientFactory, DefaultAgentCardResolver, JsonRpcTransportFactory, RestTransportFactory } =
  await load('@a2a-js/sdk/client');

const tell = (step, result = 'ok') => console.log(JSON.stringify({ step, result }));
const step = async (name, what) => {
  try {
    const result = await what();
    tell(name);
    return result;
  } catch (error) {
    tell(name, String(error?.stack ?? error).slice(0, 600));
    process.exit(1);
  }
};

const isOld = version === '0.3';
const legacyCompat = isOld ? { enabled: true } : undefined;
const fetchImpl = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};
const Factory = binding === 'JSONRPC' ? JsonRpcTransportFactory : RestTransportFactory;
const cardResolver = new DefaultAgentCardResolver({ fetchImpl, legacyCompat });
const card = await step('card', async () => {
  const path = isOld ? '.well-known/agent.json' : undefined;
  const card = await cardResolver.resolve(`${url}/`, path);
  assert.ok(card.skills.some((skill) => skill.id === 'echo'));
  card.supportedInterfaces = card.supportedInterfaces.filter(
    (it) => it.protocolBinding === binding && it.protocolVersion.startsWith(version));
  assert.ok(card.supportedInterfaces.length > 0, `no ${binding} of ${version}`);
  return card;
});
const options = { transports: [new Factory({ fetchImpl, legacyCompat })], cardResolver };
const client = await new ClientFactory(options).createFromAgentCard(card);

const part = (content) => ({ content, metadata: undefined, filename: '', mediaType: '' });
const text = (value) => part({ $case: 'text', value });
const data = (value) => part({ $case: 'data', value });
const call = (skill, args) => data({ skill, arguments: args });
const say = (what, task, configuration = {}) => ({
  tenant: '',
  message: {
    messageId: randomUUID(), contextId: task?.contextId ?? '', taskId: task?.id ?? '', role: Role.ROLE_USER,
    parts: [what], metadata: undefined, extensions: [], referenceTaskIds: [],
  },
  configuration: {
    acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately: false, ...configuration,
  },
  metadata: undefined,
});
const texts = (task) => task.artifacts.flatMap((it) => it.parts).map((it) => it.content?.value).join('\n');
const stateOf = ({ payload }) => payload.value.status?.state;
const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
const lastState = (events) => events.map(stateOf).filter((state) => state !== undefined).at(-1);

const task = await step('send', async () => {
  const task = await client.sendMessage(say(call('echo', { message: 'hello' })));
  assert.equal(task.status.state, TaskState.TASK_STATE_COMPLETED);
  assert.match(texts(task), /hello/);
  return task;
});
await step('stream', async () => {
  const slow = call('trigger-long-running-operation', { duration: 1, steps: 4 });
  const events = await all(client.sendMessageStream(say(slow)));
  assert.equal(events[0].payload.$case, 'task');
  assert.equal(lastState(events), TaskState.TASK_STATE_COMPLETED);
  assert.ok(events.some((event) => event.payload.$case === 'artifactUpdate'));
});
await step('question and answer', async () => {
  const asked = await client.sendMessage(say(text('get-sum a=1')));
  assert.equal(asked.status.state, TaskState.TASK_STATE_INPUT_REQUIRED);
  const done = await client.sendMessage(say(data({ b: 2 }), asked));
  assert.equal(done.id, asked.id);
  assert.match(texts(done), /3/);
});
await step('get', async () => assert.deepEqual(await client.getTask({ tenant: '', id: task.id }), task));
if (isOld) {
  tell('list', '0.3 has it over REST and gRPC only, and this SDK has no call for it');
} else {
  await step('list', async () => {
    const page = await client.listTasks({ tenant: '', pageSize: 2, pageToken: '', contextId: '', status: 0 });
    assert.equal(page.tasks.length, 2);
    assert.ok(page.totalSize >= 3);
  });
}
await step('subscribe after a cut', async () => {
  const slow = call('trigger-long-running-operation', { duration: 2, steps: 4 });
  let cut;
  for await (const event of client.sendMessageStream(say(slow))) {
    cut = event.payload.value;
    break;
  }
  const events = await all(client.resubscribeTask({ tenant: '', id: cut.id }));
  assert.equal(lastState(events), TaskState.TASK_STATE_COMPLETED);
});
await step('cancel', async () => {
  const long = call('trigger-long-running-operation', { duration: 30, steps: 30 });
  const task = await client.sendMessage(say(long, undefined, { returnImmediately: true }));
  const canceled = await client.cancelTask({ tenant: '', id: task.id, metadata: undefined });
  assert.equal(canceled.status.state, TaskState.TASK_STATE_CANCELED);
});
await step('push configuration', async () => {
  const asked = await client.sendMessage(say(text('get-sum a=1')));
  const config = { tenant: '', id: '', taskId: asked.id, url: hookUrl, token: 'our-token', authentication: undefined };
  const made = await client.createTaskPushNotificationConfig(config);
  assert.equal(made.url, hookUrl);
  const which = { tenant: '', taskId: asked.id, id: made.id };
  assert.equal((await client.getTaskPushNotificationConfig(which)).url, hookUrl);
  const listed = await client.listTaskPushNotificationConfig(
    { tenant: '', taskId: asked.id, pageSize: 10, pageToken: '' });
  assert.deepEqual(listed.configs.map((it) => it.id), [made.id]);
  const other = await client.createTaskPushNotificationConfig({ ...config, url: `${hookUrl}/deleted` });
  await client.deleteTaskPushNotificationConfig({ ...which, id: other.id });
  await client.sendMessage(say(data({ b: 2 }), asked));
});
if (card.capabilities?.extendedAgentCard) {
  await step('extended card', async () => {
    const extended = await client.getAgentCard();
    assert.ok(extended.skills.some((skill) => skill.id === 'echo'));
  });
} else {
  tell('extended card', 'the agent has none');
}
