'use strict'
// Every way to ask Redis by ioredis and node-redis, one request each.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const Redis = load('ioredis')
  const { createClient } = load('redis')
  const port = Number(process.env.REDISPORT)
  const io = new Redis({ host: '127.0.0.1', port })
  const automatic = new Redis({ host: '127.0.0.1', port, enableAutoPipelining: true })
  const client = createClient({ socket: { host: '127.0.0.1', port } })
  await client.connect()
  await Promise.all([io.set('text', 'x'), automatic.ping()])

  const ways = {
    ioredis: () => io.get('text'),
    ioredisCallback: () => new Promise((resolve, reject) => io.get('text', (error, value) => error ? reject(error) : io.get('text').then(resolve, reject))),
    ioredisPipeline: () => io.pipeline().get('text').strlen('text').exec(),
    ioredisMulti: () => io.multi().get('text').exec(),
    ioredisCall: () => io.call('GET', 'text'),
    ioredisAutomatic: () => automatic.get('text'),
    ioredisFailed: () => io.hget('text', 'field').then(() => 'fine', error => error.message),
    redis: () => client.get('text'),
    redisSend: () => client.sendCommand(['GET', 'text']),
    redisMulti: () => client.multi().get('text').exec(),
    redisFailed: () => client.hGet('text', 'field').then(() => 'fine', error => error.message)
  }

  const server = http.createServer(async (request, response) => {
    response.end(JSON.stringify(await ways[request.url.slice(1)]()))
  })
  const served = await listen(server)
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(served, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = await attachFor(ask)
  const after = await ask()
  io.disconnect()
  automatic.disconnect()
  await client.quit()
  return { status, before, after }
}
