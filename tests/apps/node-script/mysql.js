'use strict'
// Every way to ask MySQL by mysql, one request each.

const http = require('http')

module.exports = async ({ load, attachFor, listen, get }) => {
  const mysql = load('mysql')
  const settings = { host: '127.0.0.1', port: Number(process.env.MYSQLPORT), user: 'shop', database: 'shop' }
  const connection = mysql.createConnection(settings)
  const pool = mysql.createPool({ ...settings, connectionLimit: 2 })
  await new Promise((resolve, reject) => connection.connect(error => error ? reject(error) : resolve()))

  const rows = (resolve, reject) => (error, result) => error ? reject(error) : resolve(result)
  const code = resolve => error => resolve(error.code)
  const ways = {
    callback: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS callback', rows(resolve, reject))),
    values: () => new Promise((resolve, reject) => connection.query('SELECT ? AS `values`', [1], rows(resolve, reject))),
    options: () => new Promise((resolve, reject) => connection.query({ sql: 'SELECT 1 AS options' }, rows(resolve, reject))),
    events: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS events').on('result', resolve).on('error', reject)),
    pooled: () => new Promise((resolve, reject) => pool.query('SELECT 1 AS pooled', rows(resolve, reject))),
    inside: () => new Promise((resolve, reject) => connection.query('SELECT 1 AS inside', error => error ? reject(error) : connection.query('SELECT 2 AS inside', rows(resolve, reject)))),
    failed: () => new Promise(resolve => connection.query('SELECT nothing FROM nowhere', code(resolve))),
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
