'use strict'
// The script comes and goes again and again under load, in the middle of requests and calls: none fails, none is lost to
// the application, and afterwards everything is as it was.

const http = require('http')

const ROUNDS = Number(process.env.ROUNDS)
const AT_ONCE = 30

module.exports = async ({ load, attach, attached, listen, get, echo }) => {
  const express = load('express')
  const { Pool } = load('pg')
  const socket = { host: '127.0.0.1', port: Number(process.env.REDISPORT) }
  const one = new (load('ioredis'))(socket)
  const client = load('redis').createClient({ socket })
  await client.connect()
  const pool = new Pool({ host: '127.0.0.1', port: Number(process.env.PGPORT), user: 'postgres', database: 'postgres', max: 5 })
  const down = await listen(echo())

  const app = express()
  app.get('/work/:id', async (request, response) => {
    const { id } = request.params
    const [rows, text, other, answer, fetched] = await Promise.all([
      pool.query('SELECT $1::text AS id', [id]),
      one.echo(id),
      client.sendCommand(['ECHO', id]),
      get(down, `/${id}`),
      fetch(`http://127.0.0.1:${down}/${id}`).then(response => response.json())
    ])
    response.json([rows.rows[0].id, text, other, answer.body.target.slice(1), fetched.target.slice(1)])
  })
  const port = await listen(http.createServer(app))
  const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE })

  const { emit } = http.Server.prototype
  let [asked, bad, going] = [0, 0, true]
  const asking = Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (going) {
      const id = asked++
      const { status, body } = await get(port, `/work/${id}`, { agent })
      if (status !== 200 || body.some(part => part !== String(id))) bad++
    }
  }))

  let status
  for (let round = 0; round < ROUNDS; round++) {
    status = attach()
    const until = asked + 10 + Math.random() * 20
    while (asked < until) await new Promise(resolve => setImmediate(resolve))
    attached().detach()
    const still = asked + Math.random() * 5
    while (asked < still) await new Promise(resolve => setImmediate(resolve))
  }
  going = false
  await asking
  await Promise.all([pool.end(), client.quit()])
  one.disconnect()
  return { status, asked, bad, same: http.Server.prototype.emit === emit }
}
