'use strict'
// Routes and errors of Express 4 and 5.

const http = require('http')
const path = require('path')

module.exports = async ({ load, attachFor, listen, get }) => {
  const express = load('express')
  const app = express()
  app.use((request, response, next) => next())
  app.get('/', (request, response) => response.end())
  app.get('/items/:id', (request, response) => setImmediate(() => response.end()))
  app.get(/^\/files\/\d+$/, (request, response) => response.end())
  app.use('/static', express.static(path.dirname(__filename)))
  const inner = express.Router({ mergeParams: true })
  inner.get('/', (request, response) => response.end())
  inner.get('/orders/:order', (request, response) => response.end())
  inner.get('/passed', (request, response, next) => next('route'))
  app.use('/shops/:shop', inner)
  const admin = express()
  admin.get('/users/:user', (request, response) => response.end())
  app.use('/admin', admin)
  app.use(['/one/:shop', '/other/:shop'], inner)
  app.use('/health', (request, response) => response.end())
  app.get('/twice', (request, response, next) => next(), (request, response) => response.end())
  app.get('/boom/sync', () => { throw new TypeError('sync') })
  app.get('/boom/next', (request, response, next) => setTimeout(() => next(new RangeError('next')), 1))
  app.get('/boom/handled', (request, response, next) => next(Object.assign(new Error('handled'), { code: 'E_SHOP' })))
  const kept = new Error('again')
  app.get('/boom/again/:time', (request, response, next) => next(kept))
  app.use('/boom/handled', (error, request, response, next) => response.status(418).end(error.message))
  app.use((error, request, response, next) => { response.status(500).end('sorry') })
  const port = await listen(http.createServer(app))
  const ask = async () => {
    const statuses = {}
    for (const target of ['/', '/items/7', '/files/12', '/static/run.js', '/static/none.js', '/shops/a/', '/shops/orders/orders/9',
      '/shops/a/passed', '/other/b/orders/9', '/admin/users/root', '/health/deep', '/twice', '/boom/sync', '/boom/next', '/boom/handled', '/boom/again/1', '/boom/again/2', '/none']) {
      statuses[target] = (await get(port, target)).status
    }
    return statuses
  }
  const status = await attachFor(ask)
  const statuses = await ask()
  return { status, statuses }
}
