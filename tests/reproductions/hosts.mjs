// MCP hosts on the official TypeScript SDK: one beside its own servers, and one at the `/mcp` of a Bobbinet node.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { started, stopped } from './processes.mjs';

/** What the reproductions work with: the official servers and SDK of this `node_modules`, and this `bobbinet`. */
export class Bench {
  constructor(modules, bobbinet) {
    const require = createRequire(join(modules, 'x.js'));
    this.modules = modules;
    this.bobbinet = bobbinet;
    this.Client = require('@modelcontextprotocol/sdk/client/index.js').Client;
    this.Stdio = require('@modelcontextprotocol/sdk/client/stdio.js').StdioClientTransport;
    this.Http = require('@modelcontextprotocol/sdk/client/streamableHttp.js').StreamableHTTPClientTransport;
  }

  /** The command of an official server. */
  server(name) {
    return join(this.modules, '.bin', `mcp-server-${name}`);
  }

  /** A host that has started this server for itself, as hosts do. */
  async direct(name, args = [], env = {}) {
    const transport = new this.Stdio({
      command: this.server(name), args, env: { PATH: process.env.PATH, ...env }, stderr: 'ignore',
    });
    const client = await this.#connected(transport);
    return { client, pid: transport.pid };
  }

  /** A host at a node. */
  async through(node, token = node.token) {
    const headers = { authorization: `Bearer ${token}` };
    return this.#connected(new this.Http(new URL(node.mcp), { requestInit: { headers } }));
  }

  async #connected(transport) {
    const client = new this.Client({ name: 'host', version: '1' });
    await client.connect(transport);
    return client;
  }

  /** A node with these agents, each a command, in a folder of its own. */
  async node(agents) {
    const folder = mkdtempSync(join(tmpdir(), 'bobbinet-'));
    const file = join(folder, 'bobbinet.yaml');
    writeFileSync(file, JSON.stringify({ node: { listen: '127.0.0.1:0', data: './data' }, agents }));
    const { child, match } = await started(this.bobbinet, ['up', file], { cwd: folder }, /(http:\/\/127\.0\.0\.1:\d+)/);
    const mcp = `${match[1]}/mcp`;
    const mint = ['token', 'mint', '--data-dir', join(folder, 'data'), '--audience', mcp, '--ttl', '15m'];
    const token = execFileSync(this.bobbinet, mint, { cwd: folder }).toString().trim();
    const stop = async () => {
      await stopped(child);
      rmSync(folder, { recursive: true });
    };
    return { mcp, token, pid: child.pid, stop };
  }

  /** Runs this in a folder that is gone afterwards. */
  async inFolder(work) {
    const folder = mkdtempSync(join(tmpdir(), 'direct-'));
    try {
      return await work(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** What this takes, or an error after so many milliseconds. */
export async function within(millis, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${millis / 1000} s`)), millis);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
