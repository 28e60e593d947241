'use strict'
// Requests at the same time, the number of each in all it does: in its path, its statements, keys and URLs.

const http = require('http')

const REQUESTS = Number(process.env.REQUESTS)
const AT_ONCE = 100

module.exports = async ({ load, attachFor, listen, get, echo, each }) => {
  const down = await listen(echo())
  const calls = []
  const closing = []

  const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 20 })
  calls.push(id => new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: down, path: `/down?id=${id}.`, agent: keepAlive }, response => {
      let text = ''
      response.on('data', piece => { text += piece }).on('end', () => resolve(check(id, JSON.parse(text))))
    }).on('error', reject)
  }))
  calls.push(async id => check(id, await (await fetch(`http://127.0.0.1:${down}/down?id=${id}.`)).json()))

  const heard = new Map()
  function check (id, { target, headers }) {
    if (!target.includes(`id=${id}.`)) throw new Error(`${target} is not for ${id}`)
    if (id >= REQUESTS && headers.traceparent === undefined) return
    const [, trace, span] = headers.traceparent.split('-')
    heard.set(span, [trace, id])
  }

  if (process.env.PGPORT) {
    const { Pool } = load('pg')
    const pool = new Pool({ host: '127.0.0.1', port: Number(process.env.PGPORT), user: 'postgres', database: 'postgres', max: 10 })
    closing.push(() => pool.end())
    calls.push(id => pool.query(`SELECT 'id=${id}.' AS promise`))
    calls.push(id => new Promise((resolve, reject) => {
      pool.query(`SELECT 'id=${id}.' AS callback`, error => {
        if (error) return reject(error)
        // Made in a callback that a pool has called.
        pool.query(`SELECT 'id=${id}.' AS nested`).then(resolve, reject)
      })
    }))
    calls.push(async id => {
      const client = await pool.connect()
      try { await client.query(`SELECT 'id=${id}.' AS checked`) } finally { client.release() }
    })
  }

  if (process.env.MYSQLPORT) {
    const pool = load('mysql2').createPool({ host: '127.0.0.1', port: Number(process.env.MYSQLPORT), user: 'shop', database: 'shop', connectionLimit: 10 })
    closing.push(() => new Promise(resolve => pool.end(resolve)))
    calls.push(id => pool.promise().query(`SELECT 'id=${id}.' AS promise`))
    calls.push(id => new Promise((resolve, reject) => {
      pool.query(`SELECT 'id=${id}.' AS callback`, error => {
        if (error) return reject(error)
        pool.promise().execute(`SELECT 'id=${id}.' AS nested`).then(resolve, reject)
      })
    }))
  }

  if (process.env.REDISPORT) {
    const socket = { host: '127.0.0.1', port: Number(process.env.REDISPORT) }
    const Redis = load('ioredis')
    const [one, automatic] = [new Redis(socket), new Redis({ ...socket, enableAutoPipelining: true })]
    const client = load('redis').createClient({ socket })
    await Promise.all([one.ping(), automatic.ping(), client.connect()])
    closing.push(() => { one.disconnect(); automatic.disconnect(); return client.quit() })
    // A span has no more of a command than its name, so the number is part of that. Redis knows no such command.
    const unknown = error => { if (!error.message.includes('unknown command')) throw error }
    calls.push(id => one.call(`id=${id}.`).catch(unknown))
    // Has no number; but if some were another request's, that one would have too many.
    calls.push(id => automatic.get(`id=${id}.`))
    calls.push(id => client.sendCommand([`id=${id}.`]).catch(unknown))
  }

  const server = http.createServer(async (request, response) => {
    const id = Number(/id=(\d+)/.exec(request.url)[1])
    try {
      await new Promise(resolve => setTimeout(resolve, Math.random() * 3))
      await Promise.all(calls.map(call => call(id)))
      for (const call of calls) await call(id)
      response.end('ok')
    } catch (error) {
      response.statusCode = 500
      response.end(error.stack)
    }
  })
  const port = await listen(server)
  const clients = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE })
  const ask = async id => {
    const { status, body } = await get(port, `/work?id=${id}.`, { agent: clients })
    if (status !== 200) throw new Error(body)
  }
  // Who is there while classes of a bundle are met has numbers of his own.
  let id = REQUESTS
  const status = await attachFor(() => each(40, 20, () => ask(id++)), { forget: false })
  await each(REQUESTS, AT_ONCE, ask)
  await Promise.all(closing.map(close => close()))
  return { status, calls: calls.length * 2, heard: [...heard].map(([span, [trace, id]]) => [trace, span, id]) }
}
