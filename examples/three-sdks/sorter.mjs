// An agent made with the official JavaScript SDK (@a2a-js/sdk): sorts words as a dictionary does.
//
//     node sorter.mjs PORT
import { TaskState } from '@a2a-js/sdk';
import { AgentEvent, DefaultRequestHandler, InMemoryTaskStore } from '@a2a-js/sdk/server';
import { UserBuilder, agentCardHandler, jsonRpcHandler } from '@a2a-js/sdk/server/express';
import express from 'express';

const url = `http://127.0.0.1:${process.argv[2]}/`;

class Sorter {
  async execute({ taskId, contextId, userMessage, task }, bus) {
    const status = (state) => ({ state, message: undefined, timestamp: new Date().toISOString() });
    const tell = (state) =>
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status: status(state), metadata: undefined }));
    bus.publish(AgentEvent.task(task ?? {
      id: taskId, contextId, status: status(TaskState.TASK_STATE_SUBMITTED), artifacts: [], history: [userMessage],
      metadata: undefined,
    }));
    tell(TaskState.TASK_STATE_WORKING);
    const { words } = userMessage.parts.find((part) => part.content.$case === 'data').content.value;
    const value = { words: words.toSorted(new Intl.Collator('de').compare) };
    const part = { content: { $case: 'data', value }, metadata: undefined, filename: '', mediaType: 'application/json' };
    bus.publish(AgentEvent.artifactUpdate({
      taskId, contextId, append: false, lastChunk: true, metadata: undefined,
      artifact: { artifactId: 'sorted', name: '', description: '', parts: [part], metadata: undefined, extensions: [] },
    }));
    tell(TaskState.TASK_STATE_COMPLETED);
    bus.finished();
  }

  async cancelTask(taskId, bus) {
    bus.finished();
  }
}

const card = {
  name: 'sorter', description: 'Sorts words.', version: '1', provider: undefined,
  supportedInterfaces: [{ url, protocolBinding: 'JSONRPC', tenant: '', protocolVersion: '1.0' }],
  capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: false, extensions: [] },
  securitySchemes: {}, securityRequirements: [],
  defaultInputModes: ['application/json'], defaultOutputModes: ['application/json'],
  skills: [{
    id: 'sort', name: 'sort', description: 'Sorts words as a dictionary does.', tags: ['text'], examples: [], inputModes: [],
    outputModes: [], securityRequirements: [],
  }],
  signatures: [],
};
const handler = new DefaultRequestHandler(card, new InMemoryTaskStore(), new Sorter());
const app = express();
app.use('/.well-known/agent-card.json', agentCardHandler({ agentCardProvider: handler }));
app.use('/', jsonRpcHandler({ requestHandler: handler, userBuilder: UserBuilder.noAuthentication }));
app.listen(Number(new URL(url).port), '127.0.0.1');
