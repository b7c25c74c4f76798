// An agent made with the official JavaScript SDK: it says back what it is told, in capitals and in two pieces.
//
//     node shouter.mjs NODE_MODULES PORT
//
// It asks when it is told to `ask`, works for so many seconds between the two when it is told to `wait 3`, and prints each message that it takes.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [, , modules, port] = process.argv;
const load = (name) => {
  const found = createRequire(`${modules}/x.js`).resolve(name);
  return import(pathToFileURL(found));
};
const { TaskState, Role } = await load('@a2a-js/sdk');
const { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } = await load('@a2a-js/sdk/server');
const { UserBuilder, agentCardHandler, jsonRpcHandler } = await load('@a2a-js/sdk/server/express');
const express = (await load('express')).default;

const part = (text) => ({ content: { $case: 'text', value: text }, metadata: undefined, filename: '', mediaType: '' });
let next = 0;

class Shouter {
  async execute(context, bus) {
    const { taskId, contextId, userMessage, task } = context;
    const text = userMessage.parts.map((it) => (it.content.$case === 'text' ? it.content.value : '')).join('\n');
    console.log('took', text);
    const said = (words) => ({
      messageId: `js-${next++}`, contextId, taskId, role: Role.ROLE_AGENT, parts: [part(words)], metadata: undefined,
      extensions: [], referenceTaskIds: [],
    });
    const status = (state, words) => ({
      state, message: words === undefined ? undefined : said(words), timestamp: new Date().toISOString(),
    });
    const tell = (state, words) =>
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(state, words), metadata: undefined }));
    // The SDK wants the task first, also of one that goes on.
    bus.publish(AgentEvent.task(task ?? {
      id: taskId, contextId, status: status(TaskState.TASK_STATE_SUBMITTED), artifacts: [], history: [userMessage],
      metadata: undefined,
    }));
    tell(TaskState.TASK_STATE_WORKING);
    if (text === 'ask') {
      tell(TaskState.TASK_STATE_INPUT_REQUIRED, 'how loud?');
      return bus.finished();
    }
    const half = Math.floor(text.length / 2);
    for (const [n, piece] of [text.slice(0, half), text.slice(half)].entries()) {
      bus.publish(AgentEvent.artifactUpdate({
        taskId, contextId, append: n > 0, lastChunk: n > 0, metadata: undefined,
        artifact: {
          artifactId: 'shout', name: '', description: '', parts: [part(piece.toUpperCase())], metadata: undefined, extensions: [],
        },
      }));
      if (n === 0 && text.startsWith('wait ')) {
        await new Promise((done) => setTimeout(done, Number(text.slice(5)) * 1000));
      }
    }
    tell(TaskState.TASK_STATE_COMPLETED, 'shouted');
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    console.log('canceled', taskId);
    bus.finished();
  }
}

const url = `http://127.0.0.1:${port}/`;
const card = {
  name: 'shouter', description: 'Says it back in capitals.', version: '1', provider: undefined,
  supportedInterfaces: [{ url, protocolBinding: 'JSONRPC', tenant: '', protocolVersion: '1.0' }],
  capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: false, extensions: [] },
  securitySchemes: {}, securityRequirements: [], defaultInputModes: ['text/plain'], defaultOutputModes: ['text/plain'],
  skills: [{
    id: 'shout', name: 'shout', description: 'Says it back.', tags: ['text'], examples: [], inputModes: [], outputModes: [],
    securityRequirements: [],
  }],
  signatures: [],
};
const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Shouter());
const app = express();
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler }));
app.use('/', jsonRpcHandler({ requestHandler: handler, userBuilder: UserBuilder.noAuthentication }));
app.listen(Number(port), '127.0.0.1');
