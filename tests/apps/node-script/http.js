'use strict'
// Servers and clients of Node itself. The servers listen before the script comes.

const http = require('http')
const { once } = require('events')

async function text (response) {
  let all = ''
  for await (const piece of response.setEncoding('utf8')) all += piece
  return all
}

const ways = {
  async object (port) {
    return http.get({ host: '127.0.0.1', port, path: '/object', headers: { A: 'b' } })
  },
  async url (port) { return http.get(`http://127.0.0.1:${port}/url`) },
  async flat (port) {
    return http.get({ host: '127.0.0.1', port, path: '/flat', headers: ['Host', `127.0.0.1:${port}`, 'A', 'b'] })
  },
  async bare (port) {
    return http.request({ host: '127.0.0.1', port, path: '/bare', setHost: false, headers: { Host: 'shop.example' } }).end()
  },
  async post (port) {
    const request = http.request({ host: '127.0.0.1', port, path: '/post', method: 'POST' })
    request.write('one')
    await new Promise(resolve => setImmediate(resolve))
    return request.end('two')
  },
  async own (port) {
    return http.get({ host: '127.0.0.1', port, path: '/own', headers: { TraceParent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` } })
  }
}

module.exports = async ({ load, attach, listen, get, echo }) => {
  const down = await listen(echo())
  const { fetch: packaged } = load('undici')
  const server = http.createServer(async (request, response) => {
    const [, kind, way] = request.url.split(/[/?]/)
    if (kind === 'http') {
      const [answer] = await once(await ways[way](down), 'response')
      response.end(await text(answer))
    } else if (kind === 'builtin') {
      response.end(await (await fetch(`http://127.0.0.1:${down}/fetch`)).text())
    } else if (kind === 'undici') {
      const headers = way === 'own' ? { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` } : {}
      response.end(await (await packaged(`http://127.0.0.1:${down}/undici`, { headers })).text())
    } else if (kind === 'refused') {
      const call = http.get({ host: '127.0.0.1', port: 1, path: '/' })
      const [error] = await once(call, 'error')
      response.end(JSON.stringify(error.code))
    } else {
      response.statusCode = 404
      response.end()
    }
  })
  const port = await listen(server)
  // A connection that is there before the script.
  await get(port, '/before')
  const status = attach()
  const answers = {}
  for (const way of Object.keys(ways)) answers[way] = (await get(port, `/http/${way}`)).body
  answers.fetch = (await get(port, '/builtin/fetch')).body
  answers.undici = (await get(port, '/undici/none')).body
  answers.undiciOwn = (await get(port, '/undici/own')).body
  answers.refused = (await get(port, '/refused', { agent: undefined })).body
  const parent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`
  const headers = { traceparent: parent, tracestate: 'es=s:0.5,other=1' }
  answers.traced = (await get(port, '/http/object?traced', { headers })).body
  answers.unsampled = (await get(port, '/http/object?unsampled', { headers: { traceparent: parent.slice(0, -1) + '0' } })).body
  await get(port, '/nothing')
  return { status, answers, port, down }
}
