'use strict'
// What the script changes is as it was when it has gone: by command, and when it could not come.

const assert = require('assert')
const fs = require('fs')
const http = require('http')
const https = require('https')
const module_ = require('module')
const net = require('net')
const { setTimeout: pause } = require('timers/promises')

const places = () => ({ process, load: module_.prototype, http: http.Server.prototype, https: https.Server.prototype, response: http.ServerResponse.prototype, request: http.ClientRequest.prototype })

// Every property by identity, and what else could be left.
function picture () {
  const properties = {}
  for (const [name, object] of Object.entries(places())) {
    for (const key of Reflect.ownKeys(object)) {
      const { value, get } = Object.getOwnPropertyDescriptor(object, key)
      if (typeof (value || get) === 'function') properties[`${name}.${String(key)}`] = value || get
    }
  }
  return {
    properties,
    listeners: process.eventNames().map(name => [String(name), process.listenerCount(name)]).sort(),
    globals: Reflect.ownKeys(globalThis).map(String).sort(),
    descriptors: fs.readdirSync('/proc/self/fd').filter(fd => linksTo(fd).includes('/dev/null') || linksTo(fd) === process.env.OUTPUT).length
  }
}

function linksTo (fd) {
  try { return fs.readlinkSync(`/proc/self/fd/${fd}`) } catch { return '' }
}

function same (before) {
  const after = picture()
  assert.deepStrictEqual(Object.keys(after.properties), Object.keys(before.properties))
  for (const [name, value] of Object.entries(before.properties)) assert.strictEqual(after.properties[name], value, name)
  for (const what of ['listeners', 'globals', 'descriptors']) assert.deepStrictEqual(after[what], before[what], what)
}

module.exports = async ({ attach, attached, listen, get, load, echo }) => {
  load('express')
  const port = await listen(echo())
  const before = picture()
  const expression = fs.readFileSync(process.env.EXPRESSION, 'utf8')

  // Detached by name, and attached again.
  for (let round = 0; round < 3; round++) {
    const status = attach()
    assert.ok(status.ok && status.patched.some(name => name.startsWith('express')), JSON.stringify(status))
    assert.notStrictEqual(http.Server.prototype.emit, before.properties['http.emit'])
    const once = attach()
    assert.deepStrictEqual(once, status, 'a second time only says how it is')
    assert.strictEqual((await get(port, '/')).status, 200)
    attached().detach()
    same(before)
  }

  // Other settings take the place of those that are there.
  attach()
  attach(expression.replace('"sample_rate":1.0', '"sample_rate":0.5').replace(/"build":"\w+"/, '"build":"another"'))
  attached().detach()
  same(before)

  // Somebody wraps what we have wrapped: his wrapper stays and works.
  attach()
  const ours = http.ServerResponse.prototype.emit
  http.ServerResponse.prototype.emit = function (...args) { return ours.apply(this, args) }
  attached().detach()
  assert.strictEqual((await get(port, '/')).status, 200)
  http.ServerResponse.prototype.emit = before.properties['response.emit'] || ours
  if (!before.properties['response.emit']) delete http.ServerResponse.prototype.emit
  same(before)

  // Something cannot be patched: all or nothing.
  const { _storeHeader } = http.ClientRequest.prototype
  http.ClientRequest.prototype._storeHeader = undefined
  const refused = attach()
  delete http.ClientRequest.prototype._storeHeader
  assert.strictEqual(refused.ok, false)
  assert.strictEqual(http.ClientRequest.prototype._storeHeader, _storeHeader)
  same(before)

  // The lease: commands, another agent, the end.
  let agents = []
  const lease = net.createServer(socket => agents.push(socket))
  const leased = expression.replace('"lease_port":0', `"lease_port":${await listen(lease)}`)
  const come = async count => { while (agents.length < count) await pause(1) }
  attach(leased)
  await come(1)
  attach(leased)
  await come(2)
  agents[0].destroy()
  await pause(50)
  assert.ok(attached(), 'the second agent holds it')
  agents[1].write('flu')
  agents[1].write('sh\nunknown\n')
  await pause(50)
  assert.ok(attached())
  agents[1].destroy()
  while (attached()) await pause(1)
  same(before)
  agents = []
  attach(leased)
  await come(1)
  agents[0].write('detach\n')
  while (attached()) await pause(1)
  same(before)
  lease.close()

  // An agent that has gone already.
  attach(expression.replace('"lease_port":0', '"lease_port":1'))
  while (attached()) await pause(1)
  same(before)

  // Our descriptor became somebody else's: nothing is written to it.
  const { fd } = attach()
  fs.closeSync(fd)
  const victim = `${process.env.OUTPUT}.victim`
  assert.strictEqual(fs.openSync(victim, 'w'), fd)
  await get(port, '/')
  while (attached()) await pause(1)
  assert.strictEqual(fs.readFileSync(victim, 'utf8'), '')
  fs.closeSync(fd)
  same(before)
  return { ok: true }
}
