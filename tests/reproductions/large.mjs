// A file of 8 MB, read with the official file server. Its result has the text twice, and a direct host's buffer ends at 10 MiB.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { within } from './hosts.mjs';

export const title = 'MB that arrive of a file of 8 MB read with `read_text_file` (server-filesystem)';

const SIZE = 8_000_000;

/** How long a host waits for the file. */
const PATIENCE = 60_000;

const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

function file(folder) {
  const lines = [];
  for (let size = 0, number = 0; size < SIZE; number += 1) {
    const line = `line ${number} of a file that is larger than a buffer\n`;
    lines.push(line);
    size += line.length;
  }
  const text = lines.join('').slice(0, SIZE);
  const path = join(folder, 'large.txt');
  writeFileSync(path, text);
  return { path, hash: digest(text) };
}

/** The text of a result: in it, or behind its link. */
async function textOf(result, token) {
  if (result.isError) throw new Error(JSON.stringify(result.content).slice(0, 500));
  const link = result.content.find((block) => block.type === 'resource_link');
  if (!link) return result.content.find((block) => block.type === 'text')?.text ?? '';
  const response = await fetch(link.uri, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${link.uri} answered ${response.status}`);
  return response.text();
}

export async function direct(bench) {
  return bench.inFolder(async (folder) => {
    const { path, hash } = file(folder);
    const { client } = await bench.direct('filesystem', [folder]);
    let said;
    client.onerror = (error) => { said ??= error.message; };
    try {
      const reading = client.callTool({ name: 'read_text_file', arguments: { path } }, undefined, { timeout: PATIENCE });
      const text = await textOf(await within(PATIENCE, reading));
      return { value: digest(text) === hash ? SIZE / 1e6 : 0, of: SIZE / 1e6 };
    } catch (error) {
      return { value: 0, of: SIZE / 1e6, note: said ?? error.message };
    } finally {
      await client.close();
    }
  });
}

export async function through(bench) {
  return bench.inFolder(async (folder) => {
    const { path, hash } = file(folder);
    const node = await bench.node({ files: { mcp: { command: [bench.server('filesystem'), folder] } } });
    try {
      const client = await bench.through(node);
      const reading = client.callTool({ name: 'files__read_text_file', arguments: { path } }, undefined, { timeout: PATIENCE });
      const text = await textOf(await reading, node.token);
      await client.close();
      return { value: digest(text) === hash ? SIZE / 1e6 : 0, of: SIZE / 1e6 };
    } finally {
      await node.stop();
    }
  });
}
