'use strict'
// Ways to ask Cassandra, one request each. The server is a small one made for the tests.

const http = require('http')
const cassandraServer = require('./cassandra_server')

module.exports = async ({ load, attach, attachFor, listen, get, each }) => {
  const { Client } = load('cassandra-driver')
  const server = cassandraServer()
  const port = await listen(server)
  const make = () => new Client({
    contactPoints: [`127.0.0.1:${port}`],
    localDataCenter: 'here',
    keyspace: 'shop',
    isMetadataSyncEnabled: false,
    protocolOptions: { maxVersion: 4 }
  })
  const client = make()
  await client.connect()
  const names = ({ rows }) => (rows || []).map(({ name }) => name)
  const done = (resolve, reject) => (error, result) => error ? reject(error) : resolve(names(result))
  const select = 'SELECT name FROM items WHERE id = ?'

  const ways = {
    promise: async () => names(await client.execute('SELECT name FROM promise')),
    callback: () => new Promise((resolve, reject) => client.execute('SELECT name FROM callback', done(resolve, reject))),
    prepared: async () => names(await client.execute(select, ['1'], { prepare: true })),
    elsewhere: async () => names(await client.execute('SELECT name FROM elsewhere', [], { keyspace: 'other' })),
    failed: () => client.execute('SELECT name FROM missing_table').then(() => 'fine', error => error.message),
    batch: async () => names(await client.batch(['DELETE FROM items', { query: 'INSERT INTO items (id) VALUES (?)', params: ['1'] }])),
    batchCallback: () => new Promise((resolve, reject) => client.batch(['DELETE FROM items'], {}, done(resolve, reject))),
    // Its rows come by callbacks, and in each more is asked.
    pages: () => new Promise((resolve, reject) => {
      const inner = []
      client.eachRow('SELECT name FROM pages', [], { autoPage: true, fetchSize: 1 }, (_, row) => {
        inner.push(client.execute(`SELECT name FROM ${row.name}`).then(names))
      }, error => error ? reject(error) : resolve(Promise.all(inner)))
    }),
    stream: () => new Promise((resolve, reject) => {
      const found = []
      client.stream('SELECT name FROM stream').on('data', ({ name }) => found.push(name)).on('end', () => resolve(found)).on('error', reject)
    }),
    connect: async () => {
      const fresh = make()
      try { return names(await fresh.execute('SELECT name FROM connect')) } finally { await fresh.shutdown() }
    },
    misused: () => client.batch([]).then(() => 'fine', error => error.message)
  }
  const served = await listen(http.createServer(async (request, response) => {
    const [, way, id] = request.url.split('/')
    response.end(JSON.stringify(id === undefined ? await ways[way]() : names(await client.execute(`SELECT name FROM many${id}`))))
  }))
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(served, `/${way}`)).body
    return answers
  }
  const before = await ask()
  await attachFor(ask)
  const after = await ask()
  await each(40, 20, id => get(served, `/many/${id}`, { agent: new http.Agent() }))
  await client.shutdown()
  server.close()
  // Attached again, it says what went wrong meanwhile.
  return { status: attach(), before, after }
}
