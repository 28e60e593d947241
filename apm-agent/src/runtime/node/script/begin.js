// The files of this folder are joined into one function, `(function script (require, settings) { … })`, that the agent
// evaluates in a process that runs; script.rs holds their order. This is its beginning and `attach.js` its end. What
// stands between them defines functions and constants, and changes nothing.

// All that is seen of us from outside, and only while we are attached.
const KEY = Symbol.for('apm-agent.node')

const before = globalThis[KEY]
if (before) {
  if (before.build === settings.build) return before.again(settings)
  before.detach()
}

const builtin = process.getBuiltinModule || require

// Modules under this path stand for an agent that watches already: two would each change what the other has changed.
const AGENTS = /[\\/]node_modules[\\/](elastic-apm-node|dd-trace|newrelic|appdynamics|@instana[\\/]core|@dynatrace[\\/]\w+|@opentelemetry[\\/](?:sdk-node|sdk-trace-node))[\\/]/

// CommonJS modules by file name. ES modules are in no list that can be read.
const cache = (require && require.cache) || {}

for (const file of Object.keys(cache)) {
  const agent = AGENTS.exec(file)
  if (agent) return JSON.stringify({ ok: false, reason: `another agent is inside: ${agent[1]}` })
}
