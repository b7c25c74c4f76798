// A page of another origin than the agent's: it does what pages do, and tells its own server what came of each step.
//
//     http://ORIGIN/?agent=AGENT_URL&token=TOKEN
//
// The agent is a wrapped @modelcontextprotocol/server-everything. Nothing here knows Bobbinet.
const asked = new URLSearchParams(location.search);
const [url, token] = [asked.get('agent'), asked.get('token')];
const told = {};

const check = (holds, what) => {
  if (!holds) throw new Error(typeof what === 'string' ? what : JSON.stringify(what));
};
const step = async (name, what) => {
  try {
    told[name] = (await what()) ?? 'ok';
  } catch (error) {
    told[name] = `${error.name}: ${error.message}`.slice(0, 600);
  }
};

const known = { authorization: `Bearer ${token}`, 'a2a-version': '1.0' };
const message = (parts, task) => ({ messageId: crypto.randomUUID(), role: 'ROLE_USER', parts, ...task });
const call = (skill, args) => [{ data: { skill, arguments: args }, mediaType: 'application/json' }];
const rpc = (method, params, headers = known) => fetch(url, {
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
});

// The events of a response as they come: each with its id.
async function* events(response) {
  check(response.headers.get('content-type').startsWith('text/event-stream'), 'it is no stream');
  let text = '';
  for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const lines = text.slice(0, end).split('\n');
      const field = (name) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      if (field('data') !== undefined) yield { id: field('id'), data: JSON.parse(field('data')), at: performance.now() };
    }
  }
}
const stateOf = ({ data }) => {
  const { task, statusUpdate } = data.result ?? data;
  return (task ?? statusUpdate)?.status.state;
};
const all = async (response) => {
  const found = [];
  for await (const event of events(response)) found.push(event);
  return found;
};

await step('card', async () => {
  const at = `${url}/.well-known/agent-card.json`;
  const first = await fetch(at);
  const card = await first.json();
  check(card.skills.some((skill) => skill.id === 'echo'), card);
  const etag = first.headers.get('etag');
  check(etag, 'the ETag cannot be read');
  const again = await fetch(at, { headers: { 'if-none-match': etag, 'a2a-version': '1.0' } });
  check([200, 304].includes(again.status), `asked again it answers ${again.status}`);
});

let task;
await step('SendMessage', async () => {
  const headers = { ...known, 'idempotency-key': crypto.randomUUID(), 'a2a-extensions': 'https://a.example/none' };
  // What tracing adds by itself, and a service parameter of an extension.
  Object.assign(headers, { traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`, tracestate: 'a=b', 'x-of-an-extension': 'y' });
  const response = await rpc('SendMessage', { message: message(call('echo', { message: 'hello' })) }, headers);
  ({ task } = (await response.json()).result);
  check(task.status.state === 'TASK_STATE_COMPLETED' && JSON.stringify(task.artifacts).includes('hello'), task);
});

await step('SendStreamingMessage', async () => {
  const slow = call('trigger-long-running-operation', { duration: 2, steps: 4 });
  const found = await all(await rpc('SendStreamingMessage', { message: message(slow) }));
  check(found.map(stateOf).findLast((state) => state) === 'TASK_STATE_COMPLETED', found);
  check(found.every(({ id }) => id !== undefined), 'the events have no ids');
  check(found.at(-1).at - found[0].at > 500, 'the events came all at once');
});

await step('SubscribeToTask after an event', async () => {
  const slow = call('trigger-long-running-operation', { duration: 2, steps: 4 });
  const cut = new AbortController();
  const begun = await fetch(`${url}/message:stream`, {
    method: 'POST', headers: { ...known, 'content-type': 'application/json' },
    body: JSON.stringify({ message: message(slow) }), signal: cut.signal,
  });
  let last;
  for await (const event of events(begun)) {
    last = event;
    break;
  }
  cut.abort();
  const path = `${url}/tasks/${last.data.task.id}:subscribe`;
  const headers = { ...known, 'last-event-id': last.id, accept: 'text/event-stream', 'cache-control': 'no-cache' };
  const found = await all(await fetch(path, { headers }));
  check(Number(found[0].id) === Number(last.id) + 1, [last, found[0]]);
  check(stateOf(found.at(-1)) === 'TASK_STATE_COMPLETED', found);
});

await step('REST', async () => {
  const shown = await fetch(`${url}/tasks/${task?.id}`, { headers: known });
  check((await shown.json()).id === task.id, 'another task');
  const removed = await fetch(`${url}/tasks/${task.id}/pushNotificationConfigs/none`, { method: 'DELETE', headers: known });
  check(removed.ok, await removed.text());
});

await step('an error', async () => {
  const unknown = await fetch(`${url}/tasks/none`, { headers: known });
  check(unknown.status === 404, `it answers ${unknown.status}`);
  check((await unknown.json()).error.details[0].reason === 'TASK_NOT_FOUND', 'it does not say why');
});

await step('401', async () => {
  for (const headers of [{ 'a2a-version': '1.0' }, { ...known, authorization: 'Bearer wrong' }]) {
    const refused = await rpc('SendMessage', { message: message(call('echo', { message: 'hello' })) }, headers);
    check(refused.status === 401, `it answers ${refused.status}`);
    const challenge = refused.headers.get('www-authenticate');
    check(challenge?.startsWith('Bearer'), `WWW-Authenticate: ${challenge}`);
  }
});

// It can send no header, so no token either: it has to end, and not to try again for ever.
await step('EventSource', () => new Promise((resolve, reject) => {
  const source = new EventSource(`${url}/tasks/${task?.id}:subscribe`);
  source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'closed' : 'tries again');
  source.onmessage = () => reject(new Error('it was let in'));
}));

await step('the SDK', async () => {
  const { Role, TaskState } = await import('@a2a-js/sdk');
  const sdk = await import('@a2a-js/sdk/client');
  const fetchImpl = (input, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${token}`);
    return fetch(input, { ...init, headers });
  };
  for (const Factory of [sdk.JsonRpcTransportFactory, sdk.RestTransportFactory]) {
    const cardResolver = new sdk.DefaultAgentCardResolver({ fetchImpl });
    const card = await cardResolver.resolve(`${url}/`);
    const binding = Factory === sdk.JsonRpcTransportFactory ? 'JSONRPC' : 'HTTP+JSON';
    const isOne = (it) => it.protocolBinding === binding && it.protocolVersion.startsWith('1.0');
    card.supportedInterfaces = card.supportedInterfaces.filter(isOne);
    const client = await new sdk.ClientFactory({ transports: [new Factory({ fetchImpl })], cardResolver }).createFromAgentCard(card);
    const content = { $case: 'data', value: { skill: 'echo', arguments: { message: 'hello' } } };
    const part = { content, metadata: undefined, filename: '', mediaType: '' };
    const params = () => ({
      tenant: '', metadata: undefined,
      message: {
        messageId: crypto.randomUUID(), contextId: '', taskId: '', role: Role.ROLE_USER, parts: [part],
        metadata: undefined, extensions: [], referenceTaskIds: [],
      },
      configuration: { acceptedOutputModes: [], taskPushNotificationConfig: undefined, returnImmediately: false },
    });
    const done = await client.sendMessage(params());
    check(done.status.state === TaskState.TASK_STATE_COMPLETED, done);
    let last;
    for await (const event of client.sendMessageStream(params())) last = event.payload.value.status?.state ?? last;
    check(last === TaskState.TASK_STATE_COMPLETED, `the stream ends with ${last}`);
  }
});

await fetch('/told', { method: 'POST', body: JSON.stringify(told) });
