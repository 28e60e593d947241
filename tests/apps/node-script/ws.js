'use strict'
// Messages on web sockets, sent in requests.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const WebSocket = load('ws')
  const sockets = new WebSocket.Server({ port: 0, host: '127.0.0.1' })
  await new Promise(resolve => sockets.on('listening', resolve))
  const heard = []
  sockets.on('connection', socket => socket.on('message', (data, isBinary) => heard.push([String(data), isBinary === true])))
  const client = new WebSocket(`ws://127.0.0.1:${sockets.address().port}`)
  await new Promise(resolve => client.on('open', resolve))
  const ways = {
    plain: async () => client.send('plain'),
    options: async () => client.send(Buffer.from('options'), { binary: false }),
    callback: () => new Promise((resolve, reject) => client.send('callback', error => error ? reject(error) : resolve())),
    both: () => new Promise((resolve, reject) => client.send('both', {}, error => error ? reject(error) : resolve())),
    connecting: async () => {
      const early = new WebSocket(`ws://127.0.0.1:${sockets.address().port}`)
      early.on('error', () => {})
      try { early.send('too early') } catch (error) { return error.message } finally { early.terminate() }
    }
  }
  const port = await listen(http.createServer(async (request, response) => {
    response.end(JSON.stringify(await ways[request.url.slice(1)]() || null))
  }))
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    while (heard.length < 4) await new Promise(resolve => setTimeout(resolve, 5))
    return { answers, heard: heard.splice(0) }
  }
  const before = await ask()
  const status = await attachFor(ask)
  const after = await ask()
  client.terminate()
  sockets.close()
  return { status, before, after }
}
