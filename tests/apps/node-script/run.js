'use strict'
// Runs a scenario: `node run.js SCENARIO`. The environment says what with: `EXPRESSION` is a file with the script,
// `MODULES` a folder with libraries, or `BUNDLE` a file that holds them all. Its result is printed as one line of JSON.

const fs = require('fs')
const http = require('http')
const path = require('path')
const { createRequire } = require('module')
const { Session } = require('inspector')

const { BUNDLE } = process.env

// The script, evaluated as the agent does it.
function attach (expression = fs.readFileSync(process.env.EXPRESSION, 'utf8')) {
  const session = new Session()
  session.connect()
  let status
  session.post('Runtime.evaluate', { expression, includeCommandLineAPI: true, returnByValue: true }, (error, answer) => {
    if (error || answer.exceptionDetails) throw error || new Error(JSON.stringify(answer.exceptionDetails))
    status = JSON.parse(answer.result.value)
  })
  session.disconnect()
  return status
}

// Who is attached has this: all of it that can be seen from outside.
const attached = () => globalThis[Symbol.for('apm-agent.node')]

// The same, for libraries that are used so. In a bundle each class is met when it is used, as soon as its place is found;
// what was told until then lacks something, and is forgotten.
async function attachFor (use, { forget = true } = {}) {
  const status = attach()
  if (!BUNDLE) return status
  const patched = () => JSON.parse(attached().again({ lease_port: 0 })).patched
  do await use(); while (!patched().includes('what is met of bundles'))
  await use()
  await use()
  if (forget) await toldUntilNow()
  return { ...status, patched: patched() }
}

async function toldUntilNow () {
  const server = http.createServer((request, response) => response.end())
  await get(await listen(server), '/all-told')
  server.close()
  while (!fs.readFileSync(process.env.OUTPUT).includes('/all-told')) await new Promise(resolve => setTimeout(resolve, 10))
  fs.truncateSync(process.env.OUTPUT)
}

// Connections that rest are not closed: a client may be about to use them again.
function listen (server) {
  server.keepAliveTimeout = 0
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

const agent = new http.Agent({ keepAlive: true })

// A request of the test's own, outside any other; its answer as text, parsed if it is JSON.
function get (port, target, { headers = {}, module = http, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const request = module.get({ host: '127.0.0.1', port, path: target, headers, agent, ...options }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', piece => { text += piece }).on('end', () => {
        let body = text
        try { body = JSON.parse(text) } catch {}
        resolve({ status: response.statusCode, body })
      })
    })
    request.on('error', reject)
  })
}

// A server that answers with the headers it got.
function echo () {
  return http.createServer((request, response) => {
    request.resume()
    response.end(JSON.stringify({ target: request.url, names: request.rawHeaders.filter((_, at) => at % 2 === 0), headers: request.headers }))
  })
}

// `work(0)` to `work(count - 1)`, so many at a time.
async function each (count, atOnce, work) {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < count) await work(next++)
  }))
}

async function main () {
  const scenario = require(path.resolve(process.argv[2]))
  const load = BUNDLE ? require(BUNDLE) : createRequire(path.join(process.env.MODULES, 'index.js'))
  const result = await scenario({ load, attach, attachFor, attached, listen, get, echo, each })
  if (result === undefined) return
  if (attached()) attached().detach()
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0))
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`, () => process.exit(70))
})
