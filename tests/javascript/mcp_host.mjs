// A host on the official TypeScript SDK: it lists and calls a whole mesh as one MCP server.
//
//     node mcp_host.mjs MODULES v1|legacy|2026-07-28 http URL TOKEN
//     node mcp_host.mjs MODULES v1|legacy|2026-07-28 stdio COMMAND [ARGUMENT]…
//
// `v1` is the SDK's earlier line, which many hosts are built on; the others are revisions of its present one. MODULES is where both are.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, mode, door, ...rest] = process.argv.slice(2)
const require = createRequire(`${modules}/x.js`)
const load = name => import(pathToFileURL(require.resolve(name)).href)

const isOld = mode === 'v1'
const sdk = isOld
  ? { ...(await load('@modelcontextprotocol/sdk/client/index.js')), ...(await load('@modelcontextprotocol/sdk/types.js')) }
  : await load('@modelcontextprotocol/client')
const http = isOld ? await load('@modelcontextprotocol/sdk/client/streamableHttp.js') : sdk
const stdio = await load(isOld ? '@modelcontextprotocol/sdk/client/stdio.js' : '@modelcontextprotocol/client/stdio')

const negotiation = mode === '2026-07-28' ? { versionNegotiation: { mode: { pin: mode } } } : {}
const client = new sdk.Client(
  { name: 'host', version: '1' },
  { capabilities: { elicitation: { form: {} } }, ...negotiation },
)

const [asked, told] = [[], []]
client.setRequestHandler(isOld ? sdk.ElicitRequestSchema : 'elicitation/create', request => {
  asked.push(request.params.message)
  const required = request.params.requestedSchema.required ?? []
  return { action: 'accept', content: Object.fromEntries(required.map(name => [name, 'Ann'])) }
})

// What goes out to say that a call is given up: it must have arrived before the connection ends.
const leaving = []
function fetching(url, init) {
  const going = fetch(url, init)
  if (String(init?.body).includes('notifications/cancelled')) leaving.push(going)
  return going
}

const [where, token] = rest
const transport =
  door === 'http'
    ? new http.StreamableHTTPClientTransport(new URL(where), {
        requestInit: { headers: { Authorization: `Bearer ${token}` } },
        fetch: fetching,
      })
    : new stdio.StdioClientTransport({ command: where, args: rest.slice(1), stderr: 'inherit' })
await client.connect(transport)

const request = (name, args, options) =>
  isOld
    ? client.callTool({ name, arguments: args }, undefined, options)
    : client.callTool({ name, arguments: args }, options)

async function call(name, args, options) {
  const result = await request(name, args, options)
  return {
    texts: result.content.filter(block => block.type === 'text').map(block => block.text),
    kinds: result.content.map(block => block.type),
    structured: result.structuredContent ?? null,
    error: Boolean(result.isError),
  }
}

const OPERATION = 'trigger-long-running-operation'

// Says whether a call was begun and then given up.
async function cancel() {
  const [controller, heard] = [new AbortController(), []]
  const onprogress = progress => {
    heard.push(progress.progress)
    controller.abort('enough')
  }
  try {
    await call(`long__${OPERATION}`, { duration: 60, steps: 600 }, { signal: controller.signal, onprogress })
    return 'it ended'
  } catch (error) {
    await call('mesh_agents', {})
    await Promise.all(leaving)
    return heard.length ? 'canceled' : String(error)
  }
}

// A large result of a tool that has promised a structure, which this SDK looks for.
async function rows() {
  const { structured, error, kinds } = await call('rows__rows', {})
  return { count: structured?.rows?.length ?? 0, error, kinds }
}

const said = {
  tools: (await client.listTools()).tools.map(tool => tool.name).sort(),
  sum: await call('everything__get-sum', { a: 2, b: 3 }),
  structured: await call('everything__get-structured-content', { location: 'Chicago' }),
  image: await call('everything__get-tiny-image', {}),
  links: await call('everything__get-resource-links', { count: 2 }),
  wrong: await call('everything__get-sum', { a: 'x' }),
  long: await call(`everything__${OPERATION}`, { duration: 1, steps: 4 }, { onprogress: progress => told.push(progress.progress) }),
  read: await call('files__read_text_file', { path: 'a.txt' }),
  rows: await rows(),
  agents: await call('mesh_agents', {}),
  asks: await call('everything__trigger-elicitation-request', {}),
  progress: told,
  asked,
  canceled: await cancel(),
}
await client.close()
console.log(JSON.stringify(said))
