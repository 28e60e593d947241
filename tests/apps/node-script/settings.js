'use strict'
// What the settings say is done, and what is too long or odd is cut.

const http = require('http')
const https = require('https')
const fs = require('fs')
const { setTimeout: pause } = require('timers/promises')

module.exports = async ({ attach, attached, listen, get, echo }) => {
  const down = await listen(echo())
  const work = async (request, response) => {
    if (request.url.startsWith('/call')) await get(down, '/down')
    if (request.url.startsWith('/long')) await get(down, '/' + 'ä'.repeat(20000).slice(0, 12000).replaceAll('ä', '%C3%A4').slice(0, 14000))
    if (request.url.startsWith('/odd')) {
      for (const error of [null, 7, Symbol('odd'), new Proxy({}, { get () { throw new Error('trap') } }), Object.assign(new Error('x'.repeat(5000)), { name: 3, code: {} })]) {
        process.emit('unhandledRejection', error, Promise.resolve())
      }
    }
    response.end('ok')
  }
  process.on('unhandledRejection', () => {})
  const port = await listen(http.createServer(work))
  const tls = https.createServer({ key: fs.readFileSync(process.env.TLS_KEY), cert: fs.readFileSync(process.env.TLS_CERT) }, work)
  const encrypted = await listen(tls)
  const status = attach()
  for (const target of ['/call', '/long', '/odd']) await get(port, target, { headers: { 'X-Long': 'y'.repeat(4000) } })
  await get(encrypted, '/secret?a=b', { module: https, agent: undefined, rejectUnauthorized: false })
  // The loop is busy for a while, and a little is measured.
  const busy = Date.now() + 100
  let thrown
  while (Date.now() < busy) thrown = new Array(1000).fill(thrown && thrown.length)
  await pause(120)
  const held = attached() !== undefined
  return { status, held }
}
