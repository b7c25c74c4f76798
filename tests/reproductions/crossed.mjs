// Two agents on one session that use the same JSON-RPC ids, as hosts do that share a connection: who gets whose answer?
//
// Two calls at a time with one id, one of which takes twice as long; an answer is wrong if it is the other's or does not come.
import { all, freePort, started, stopped } from './processes.mjs';
import { within } from './hosts.mjs';

export const title = 'answers that were another caller\'s or never came, of calls with equal ids on one session (server-everything)';

/** How long to wait for an answer that takes a fifth of a second, in milliseconds. */
const PATIENCE = 2_000;

const TOOL = 'trigger-long-running-operation';

/** How many rounds at the same time. */
const AT_A_TIME = 32;

const headers = (extra) => ({
  'content-type': 'application/json', accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2025-06-18', ...extra,
});

/** The result with this id in an answer, whether JSON or a stream of events. */
async function resultIn(response, id) {
  const text = await response.text();
  const messages = response.headers.get('content-type')?.startsWith('text/event-stream')
    ? text.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).filter(Boolean)
    : [text];
  return messages.map((message) => JSON.parse(message)).find((message) => message.id === id);
}

async function session(url, extra) {
  const initialize = {
    jsonrpc: '2.0', id: 0, method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'host', version: '1' } },
  };
  const response = await fetch(url, { method: 'POST', headers: headers(extra), body: JSON.stringify(initialize) });
  const mine = { ...extra, 'mcp-session-id': response.headers.get('mcp-session-id') };
  await response.text();
  const initialized = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' });
  await (await fetch(url, { method: 'POST', headers: headers(mine), body: initialized })).text();
  return mine;
}

/** Calls a tool that takes so many seconds, and says how many they were. Whether this is what came back. */
async function isMine(url, mine, tool, id, duration) {
  const call = { jsonrpc: '2.0', id, method: 'tools/call', params: { name: tool, arguments: { duration, steps: 1 } } };
  const stop = new AbortController();
  try {
    const answer = await within(PATIENCE, (async () => {
      const options = { method: 'POST', headers: headers(mine), body: JSON.stringify(call), signal: stop.signal };
      return resultIn(await fetch(url, options), id);
    })());
    return JSON.stringify(answer?.result?.content ?? '').includes(`Duration: ${duration} seconds`);
  } catch {
    return false;
  } finally {
    stop.abort();
  }
}

/** So many rounds of two agents, some at a time; each round has one id. How many answers were wrong. */
async function wrong(url, mine, tool, calls) {
  let next = 1;
  let bad = 0;
  const rounds = async () => {
    while (next <= calls / 2) {
      const id = next;
      next += 1;
      // Told apart by their last digits: a tenth of a second and two, and something.
      const answers = [0.1, 0.2].map((seconds) => isMine(url, mine, tool, id, Number((seconds + id / 1e7).toFixed(7))));
      const wrongOnes = (await Promise.all(answers)).filter((it) => !it).length;
      bad += wrongOnes;
    }
  };
  await all(Array.from({ length: AT_A_TIME }, rounds));
  return { value: bad, of: calls };
}

export async function direct(bench, { calls }) {
  const port = await freePort();
  const options = { env: { ...process.env, PORT: String(port) } };
  const { child } = await started(bench.server('everything'), ['streamableHttp'], options, /listening on port/);
  try {
    const url = `http://127.0.0.1:${port}/mcp`;
    return await wrong(url, await session(url, {}), TOOL, calls);
  } finally {
    await stopped(child);
  }
}

export async function through(bench, { calls }) {
  const node = await bench.node({ everything: { mcp: { command: [bench.server('everything'), 'stdio'] }, slots: 2 * AT_A_TIME } });
  try {
    const mine = await session(node.mcp, { authorization: `Bearer ${node.token}` });
    return await wrong(node.mcp, mine, `everything__${TOOL}`, calls);
  } finally {
    await node.stop();
  }
}
