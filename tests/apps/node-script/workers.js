'use strict'
// Workers that are there before the script, that come after it, and workers of workers; each serves requests.

const fs = require('fs')
const http = require('http')
const net = require('net')
const { setTimeout: pause } = require('timers/promises')
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads')

// In a worker: a server that calls another one, says whether the script is there, throws, and begins a further worker.
function serve () {
  const ways = {
    call: () => new Promise((resolve, reject) => http.get({ host: '127.0.0.1', port: workerData.down, path: '/' }, answer => {
      answer.resume().on('end', () => resolve(workerData.name))
    }).on('error', reject)),
    attached: async () => String(Symbol.for('apm-agent.node') in globalThis && Object.hasOwn(http.Server.prototype, 'emit')),
    inner: async () => String(await begin('inner', workerData.down))
  }
  const server = http.createServer(async (request, response) => response.end(await ways[request.url.split('/')[1]]()))
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
}

// The port at which the new worker listens.
function begin (name, down) {
  const worker = new Worker(__filename, { workerData: { name, down } })
  return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
}

async function scenario ({ attach, attached, listen, get, echo }) {
  const down = await listen(echo())
  const ports = { before: await begin('before', down) }
  const { emit } = Worker.prototype
  // The agent's side of the lease.
  const holders = []
  const lease = net.createServer(socket => holders.push(socket))
  const expression = fs.readFileSync(process.env.EXPRESSION, 'utf8').replace('"lease_port":0', `"lease_port":${await listen(lease)}`)
  const status = attach(expression)
  ports.after = await begin('after', down)
  // By `again`, which brings the new lease to all.
  attach(expression)
  ports.inner = (await get(ports.after, '/inner')).body
  const all = async wanted => {
    for (const port of Object.values(ports)) {
      while ((await get(port, '/attached')).body !== wanted) await pause(5)
    }
  }
  await all(true)
  const answers = {}
  for (const [name, port] of Object.entries(ports)) answers[name] = (await get(port, `/call/${name}`)).body
  const held = holders.filter(socket => !socket.closed && socket.readyState === 'open').length
  for (const socket of holders) socket.write('detach\n')
  while (attached()) await pause(5)
  await all(false)
  return { status, answers, held, same: Worker.prototype.emit === emit }
}

if (!isMainThread && workerData && workerData.name) serve()
module.exports = scenario
