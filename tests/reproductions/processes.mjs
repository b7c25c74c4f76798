// What the kernel says of processes: children, memory that is their own (PSS), and starting and ending them.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** A process and all below it, as process ids. */
export function tree(root) {
  const parents = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return [[Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
    } catch {
      return []; // it has ended meanwhile
    }
  });
  const found = [root];
  for (let next = 0; next < found.length; next += 1) {
    found.push(...parents.filter(([, parent]) => parent === found[next]).map(([pid]) => pid));
  }
  return found;
}

/** The memory of these processes in MiB: their own, and their share of what they have in common. */
export function memory(pids) {
  const kib = pids.map((pid) => {
    try {
      return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      return 0; // it has ended meanwhile
    }
  });
  return Math.round(kib.reduce((sum, one) => sum + one, 0) / 1024);
}

/** How many of these processes run `program`, without those that only start it and wait for its end. */
export function count(pids, program) {
  return pids.filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.some((word) => word.endsWith(program)) && !words.includes('exec-mcp');
    } catch {
      return false; // it has ended meanwhile
    }
  }).length;
}

/** A port that nobody listens at, for a server that cannot choose one and say which. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a program and waits until a line of its output (of either kind) matches: what matched. */
export async function started(command, args, options, pattern) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  const matched = new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream).on('line', (line) => {
        if (said.length < 50) said.push(line);
        const match = pattern.exec(line);
        if (match) resolve(match);
      });
    }
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`${command} ended with ${code}:\n${said.join('\n')}`)));
  });
  return { child, match: await matched };
}

/** Ends a process that was started here, and waits until it has gone. */
export async function stopped(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

/** Waits for all, and ends with what the first one that failed said, after the others have ended. */
export async function all(promises) {
  const settled = await Promise.allSettled(promises);
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return settled.map((one) => one.value);
}
