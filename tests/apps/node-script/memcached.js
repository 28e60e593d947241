'use strict'
// Every way to ask memcached, one request each.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const Memcached = load('memcached')
  const client = new Memcached(`127.0.0.1:${process.env.MEMCACHEDPORT}`)
  const done = (resolve, reject) => (error, value) => error ? reject(error) : resolve(value)

  const ways = {
    set: () => new Promise((resolve, reject) => client.set('set', 'x', 10, done(resolve, reject))),
    get: () => new Promise((resolve, reject) => client.get('get', done(resolve, reject))),
    getInside: () => new Promise((resolve, reject) => client.get('getInside', error => error ? reject(error) : client.get('getInside', done(resolve, reject)))),
    delete: () => new Promise((resolve, reject) => client.del('delete', done(resolve, reject))),
    incr: () => new Promise(resolve => client.incr('set', 1, error => resolve(error.message)))
  }

  const server = http.createServer(async (request, response) => {
    response.end(JSON.stringify(await ways[request.url.slice(1)]() ?? null))
  })
  const port = await listen(server)
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = await attachFor(ask)
  const after = await ask()
  client.end()
  return { status, before, after }
}
