// What happens to MCP servers that several callers use, directly and through Bobbinet: four failures that people have reported.
//
//     node main.mjs --modules NODE_MODULES --bobbinet PROGRAM [--quick] [--json]
//
// `cargo xtask reproductions` installs and builds what it needs, and runs it. It ends with 1 if a promise of Bobbinet is not kept.
import { parseArgs } from 'node:util';

import { Bench } from './hosts.mjs';
import * as crossed from './crossed.mjs';
import * as crowd from './crowd.mjs';
import * as large from './large.mjs';
import * as writes from './writes.mjs';

const { values: said } = parseArgs({
  options: {
    modules: { type: 'string' }, bobbinet: { type: 'string' }, only: { type: 'string' },
    quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false },
  },
});
const bench = new Bench(said.modules, said.bobbinet);
const calls = said.quick ? 640 : 10_000;

const REPRODUCTIONS = {
  writes: { ...writes, sizes: { direct: { writes: 50 }, through: { writes: 50 } }, kept: ({ value }) => value === 50 },
  // Directly each wrong one is waited for, so there are fewer.
  crossed: { ...crossed, sizes: { direct: { calls: said.quick ? 64 : 400 }, through: { calls } }, kept: ({ value }) => value === 0 },
  large: { ...large, sizes: { direct: {}, through: {} }, kept: ({ value, of }) => value === of },
  crowd: {
    ...crowd,
    sizes: { direct: { hosts: said.quick ? 2 : 16 }, through: { hosts: said.quick ? 2 : 16 } },
    kept: ({ value }) => value === 3,
  },
};

const wanted = Object.entries(REPRODUCTIONS).filter(([name]) => !said.only || said.only.split(',').includes(name));
const found = {};
for (const [name, one] of wanted) {
  console.error(`${name}, directly …`);
  const direct = await one.direct(bench, one.sizes.direct);
  console.error(`${name}, through Bobbinet …`);
  const through = await one.through(bench, one.sizes.through);
  found[name] = { title: one.title, direct, through, kept: one.kept(through) };
}

const amount = ({ value, of }) => (of === undefined ? `${value}` : `${value} of ${of.toLocaleString('en')}`);
const row = (title, direct, through) => `| ${title} | ${direct} | ${through} |`;
if (said.json) {
  console.log(JSON.stringify(found));
} else {
  console.log(row('', 'directly', 'through Bobbinet'));
  console.log(row('---', '---', '---'));
  for (const { title, direct, through } of Object.values(found)) {
    const note = direct.note ? ` (${direct.note})` : '';
    console.log(row(title, `${amount(direct)}${note}`, `**${amount(through)}**`));
    if (direct.memory !== undefined) {
      console.log(row('memory of them and of the node, in MiB (PSS)', direct.memory, `**${through.memory}**`));
      console.log(row('seconds until all hosts have called all servers', direct.seconds.toFixed(1), `**${through.seconds.toFixed(1)}**`));
    }
  }
}
process.exitCode = Object.values(found).every(({ kept }) => kept) ? 0 : 1;
