'use strict'
// Servers of HTTP/2: streams, and requests made around them. A secure one serves HTTP/1, too. And its clients.

const fs = require('fs')
const http = require('http')
const http2 = require('http2')
const https = require('https')

function ask (session, path, headers = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ...headers })
    let status
    stream.on('response', headers => { status = headers[':status'] }).on('error', reject)
    stream.resume().on('end', () => resolve(status))
    stream.end()
  })
}

module.exports = async ({ attach, listen, get, echo }) => {
  const down = await listen(echo())
  const streams = http2.createServer()
  streams.on('stream', async (stream, headers) => {
    if (headers[':path'] === '/reset') return stream.on('error', () => {}).close(http2.constants.NGHTTP2_INTERNAL_ERROR)
    if (headers[':path'] === '/called' || headers[':path'] === '/') {
      stream.respond({ ':status': 201 })
      return stream.end(JSON.stringify(headers))
    }
    await get(down, '/down')
    stream.respond({ ':status': 201 })
    stream.end('ok')
  })
  const around = http2.createSecureServer({
    allowHTTP1: true,
    key: fs.readFileSync(process.env.TLS_KEY),
    cert: fs.readFileSync(process.env.TLS_CERT)
  }, async (request, response) => {
    await get(down, '/down')
    response.statusCode = 202
    response.end('ok')
  })
  const ports = [await listen(streams), await listen(around)]
  const status = attach()
  const plain = http2.connect(`http://127.0.0.1:${ports[0]}`)
  const secure = http2.connect(`https://127.0.0.1:${ports[1]}`, { rejectUnauthorized: false })
  const traceparent = `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`
  const statuses = [
    await ask(plain, '/stream?a=b', { traceparent }),
    await ask(secure, '/request'),
    (await get(ports[1], '/old', { module: https, agent: undefined, rejectUnauthorized: false })).status
  ]
  // Calls in a request, on a session that is there already.
  const ways = {
    object: () => plain.request({ ':path': '/called', a: 'b' }),
    none: () => plain.request(),
    own: () => plain.request({ ':path': '/called', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00` }),
    reset: () => plain.request({ ':path': '/reset' })
  }
  const front = http.createServer((request, response) => {
    const stream = ways[request.url.slice(1)]()
    let text = ''
    stream.setEncoding('utf8').on('data', piece => { text += piece }).on('error', () => response.end('null')).on('end', () => response.end(text))
    stream.end()
  })
  const asking = await listen(front)
  const answers = {}
  for (const way of Object.keys(ways)) answers[way] = (await get(asking, `/${way}`)).body
  plain.close()
  secure.close()
  await new Promise(resolve => setTimeout(resolve, 20))
  return { status, statuses, answers, down: ports[0] }
}
