'use strict'
// Every way to ask MySQL by mysql2, one request each.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const mysql = load('mysql2')
  const settings = { socketPath: undefined, host: '127.0.0.1', port: Number(process.env.MYSQLPORT), user: 'shop', database: 'shop' }
  const connection = mysql.createConnection(settings)
  const promised = connection.promise()
  const pool = mysql.createPool({ ...settings, connectionLimit: 2 })
  await promised.connect()

  const rows = (resolve, reject) => (error, result) => error ? reject(error) : resolve(result)
  const code = resolve => error => resolve(error.code)
  const ways = {
    callback: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS callback', rows(resolve, reject))),
    values: () => new Promise((resolve, reject) => connection.query('SELECT ? AS `values`', [1], rows(resolve, reject))),
    options: () => new Promise((resolve, reject) => connection.query({ sql: 'SELECT 1 AS options' }, rows(resolve, reject))),
    promise: async () => (await promised.query('SELECT 1 AS promise'))[0],
    execute: async () => (await promised.execute('SELECT ? AS `execute`', ['1']))[0],
    executeCallback: () => new Promise((resolve, reject) => connection.execute('SELECT ? AS executeCallback', ['1'], rows(resolve, reject))),
    prepared: async () => (await (await promised.prepare('SELECT ? AS prepared')).execute(['1']))[0],
    events: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS events').on('result', resolve).on('error', reject)),
    stream: () => new Promise((resolve, reject) => {
      const all = []
      connection.query('SELECT 1 AS stream').stream().on('data', row => all.push(row)).on('end', () => resolve(all)).on('error', reject)
    }),
    pooled: async () => (await pool.promise().query('SELECT 1 AS pooled'))[0],
    pooledExecute: async () => (await pool.promise().execute('SELECT 1 AS pooledExecute'))[0],
    checkedOut: async () => {
      const one = await pool.promise().getConnection()
      try { return (await one.query('SELECT 1 AS checkedOut'))[0] } finally { one.release() }
    },
    inside: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS inside', error => error ? reject(error) : connection.query('SELECT 2 AS inside', rows(resolve, reject)))),
    failed: () => promised.query('SELECT nothing FROM nowhere').then(() => 'fine', error => error.code),
    failedCallback: () => new Promise(resolve => connection.query('SELECT nothing FROM nowhere', code(resolve))),
    failedExecute: () => promised.execute('SELECT nothing FROM nowhere').then(() => 'fine', error => error.code),
    failedEvents: () => new Promise(resolve => connection.query('SELECT nothing FROM nowhere').on('error', code(resolve)))
  }

  const server = http.createServer(async (request, response) => {
    response.end(JSON.stringify(await ways[request.url.slice(1)]()))
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
  connection.end()
  pool.end()
  return { status, before, after }
}
