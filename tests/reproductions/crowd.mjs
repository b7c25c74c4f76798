// Sixteen hosts that each use the same three official servers: how many processes, how much memory, and how long until all can call.
import { all, count, memory, tree } from './processes.mjs';

export const title = 'server processes';

const SERVERS = ['everything', 'filesystem', 'memory'];

/** What a server is called with. */
const argumentsOf = (name, folder) => ({ everything: ['stdio'], filesystem: [folder], memory: [] })[name];

/** What shows that a host can call each of the servers. */
const CALLS = {
  everything: ['echo', { message: 'here' }],
  filesystem: ['list_allowed_directories', {}],
  memory: ['read_graph', {}],
};

async function called(client, prefix, name) {
  const [tool, args] = CALLS[name];
  const result = await client.callTool({ name: `${prefix}${tool}`, arguments: args });
  if (result.isError) throw new Error(`${name}: ${JSON.stringify(result.content)}`);
}

export async function direct(bench, { hosts }) {
  return bench.inFolder(async (folder) => {
    const begin = performance.now();
    const clients = await all(Array.from({ length: hosts }).flatMap(() => SERVERS.map(async (name) => {
      const one = await bench.direct(name, argumentsOf(name, folder), { MEMORY_FILE_PATH: `${folder}/graph.json` });
      await called(one.client, '', name);
      return one;
    })));
    const seconds = (performance.now() - begin) / 1000;
    const pids = clients.flatMap(({ pid }) => tree(pid));
    const found = { value: clients.length, memory: memory(pids), seconds };
    await all(clients.map(({ client }) => client.close()));
    return found;
  });
}

export async function through(bench, { hosts }) {
  return bench.inFolder(async (folder) => {
    const begin = performance.now();
    const node = await bench.node(Object.fromEntries(SERVERS.map((name) => [name, {
      mcp: {
        command: [bench.server(name), ...argumentsOf(name, folder)], env: { MEMORY_FILE_PATH: `${folder}/graph.json` },
      },
    }])));
    try {
      const clients = await all(Array.from({ length: hosts }, async () => {
        const client = await bench.through(node);
        await all(SERVERS.map((name) => called(client, `${name}__`, name)));
        return client;
      }));
      const seconds = (performance.now() - begin) / 1000;
      const pids = tree(node.pid);
      const value = SERVERS.reduce((sum, name) => sum + count(pids, `mcp-server-${name}`), 0);
      const found = { value, memory: memory(pids), seconds };
      await all(clients.map((client) => client.close()));
      return found;
    } finally {
      await node.stop();
    }
  });
}
