// Fifty writes at the same time to the official memory server, which reads its file, adds to it and writes it as a whole.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { all } from './processes.mjs';

export const title = 'entities left of so many `create_entities` at the same time (server-memory)';

const entity = (number) => ({ entities: [{ name: `e${number}`, entityType: 'thing', observations: [] }] });

/** The entities in the file, each once. */
function left(file) {
  const names = readFileSync(file, 'utf8').split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line).name];
    } catch {
      return [];
    }
  });
  return new Set(names).size;
}

async function write(client, name, number) {
  const result = await client.callTool({ name, arguments: entity(number) });
  if (result.isError) throw new Error(`a write failed: ${JSON.stringify(result.content)}`);
}

export async function direct(bench, { writes }) {
  return bench.inFolder(async (folder) => {
    const file = join(folder, 'graph.json');
    const { client } = await bench.direct('memory', [], { MEMORY_FILE_PATH: file });
    await all(Array.from({ length: writes }, (_, number) => write(client, 'create_entities', number)));
    await client.close();
    return { value: left(file), of: writes };
  });
}

export async function through(bench, { writes }) {
  return bench.inFolder(async (folder) => {
    const file = join(folder, 'graph.json');
    const node = await bench.node({
      memory: { mcp: { command: [bench.server('memory')], env: { MEMORY_FILE_PATH: file } } },
    });
    try {
      const client = await bench.through(node);
      await all(Array.from({ length: writes }, (_, number) => write(client, 'memory__create_entities', number)));
      await client.close();
    } finally {
      await node.stop();
    }
    return { value: left(file), of: writes };
  });
}
