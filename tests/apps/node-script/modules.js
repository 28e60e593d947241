'use strict'
// Libraries that come after the script; those it does not know; and another agent that was here first.

const assert = require('assert')
const fs = require('fs')
const path = require('path')
const { createRequire } = require('module')

// A package made up for the test, with one module.
function invent (name, version, file, code) {
  const folder = path.join(path.dirname(process.env.OUTPUT), 'node_modules', name)
  fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name, version }))
  fs.writeFileSync(path.join(folder, file), code)
}

module.exports = async ({ attach, attached, load }) => {
  const invented = createRequire(process.env.OUTPUT)
  invent('pg', '99.1.0', 'lib/client.js', 'module.exports = class Client { query () {} }')
  invent('mysql', '2.99.0', 'lib/Pool.js', 'module.exports = class Pool { connect () {} }')
  invent('elastic-apm-node', '4.0.0', 'index.js', '')

  const first = attach()
  assert.ok(first.ok && !first.patched.some(name => name.startsWith('express')), JSON.stringify(first))
  load('express')
  invented('pg/lib/client.js')
  invented('mysql/lib/Pool.js')
  const later = attach()
  attached().detach()

  invented('elastic-apm-node')
  const other = attach()
  assert.strictEqual(attached(), undefined)
  return { status: later, other }
}
