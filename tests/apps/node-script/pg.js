'use strict'
// Every way to ask PostgreSQL, one request each.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const { Client, Pool, Query } = load('pg')
  const settings = { host: '127.0.0.1', port: Number(process.env.PGPORT), user: 'postgres', database: 'postgres' }
  const pool = new Pool({ ...settings, max: 2 })
  const client = new Client(settings)
  await client.connect()

  const ways = {
    promise: () => client.query('SELECT 1 AS promise'),
    values: () => client.query('SELECT $1::int AS values', [1]),
    config: () => client.query({ text: 'SELECT 1 AS config' }),
    named: () => client.query({ name: 'named', text: 'SELECT $1::int AS named', values: [2] }),
    callback: () => new Promise((resolve, reject) => client.query('SELECT 1 AS callback', (error, result) => error ? reject(error) : resolve(result))),
    valuesCallback: () => new Promise((resolve, reject) => client.query('SELECT $1::int AS "valuesCallback"', [1], error => error ? reject(error) : resolve())),
    configCallback: () => new Promise((resolve, reject) => client.query({ text: 'SELECT 1 AS "configCallback"', callback: error => error ? reject(error) : resolve() })),
    submitted: () => new Promise((resolve, reject) => client.query(new Query('SELECT 1 AS submitted', error => error ? reject(error) : resolve()))),
    events: () => new Promise((resolve, reject) => client.query(new Query('SELECT 1 AS events')).on('end', resolve).on('error', reject)),
    pooled: () => pool.query('SELECT 1 AS pooled'),
    pooledCallback: () => new Promise((resolve, reject) => pool.query('SELECT 1 AS "pooledCallback"', error => error ? reject(error) : resolve())),
    checkedOut: async () => {
      const one = await pool.connect()
      try { return await one.query('SELECT 1 AS "checkedOut"') } finally { one.release() }
    },
    // The second is asked for in the callback of the first.
    inside: () => new Promise((resolve, reject) => client.query('SELECT 1 AS inside', error => error ? reject(error) : client.query('SELECT 2 AS inside').then(resolve, reject))),
    failed: () => client.query('SELECT nothing FROM nowhere').then(() => 'fine', error => error.code),
    failedCallback: () => new Promise(resolve => client.query('SELECT nothing FROM "nowhereCallback"', error => resolve(error.code))),
    misused: () => { try { return client.query(null) } catch (error) { return error.message } }
  }

  const server = http.createServer(async (request, response) => {
    const result = await ways[request.url.slice(1)]()
    response.end(JSON.stringify(result && result.rows ? result.rows : result))
  })
  const port = await listen(server)
  // What the ways give without the script is what they have to give with it.
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = await attachFor(ask)
  const after = await ask()
  await Promise.all([client.end(), pool.end()])
  // A rejection that nobody handles stays one.
  let unhandled = 0
  process.on('unhandledRejection', () => unhandled++)
  const other = new Client(settings)
  await other.connect()
  other.query('SELECT nobody FROM listens')
  await other.query('SELECT 1')
  await new Promise(resolve => setImmediate(resolve))
  await other.end()
  return { status, before, after, unhandled }
}
