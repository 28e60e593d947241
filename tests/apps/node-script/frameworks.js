'use strict'
// Routes and errors of Fastify, Koa, hapi and restify.

const http = require('http')

async function fastify (load) {
  const app = load('fastify')()
  app.get('/items/:id', async () => ({ ok: true }))
  app.register(async inner => {
    inner.get('/orders/:order', (request, reply) => { setImmediate(() => reply.send('ok')) })
  }, { prefix: '/shops/:shop' })
  app.get('/boom/async', async () => { throw new TypeError('async') })
  app.get('/boom/sent', (request, reply) => { reply.send(new RangeError('sent')) })
  app.get('/boom/handled', { errorHandler: (error, request, reply) => reply.code(418).send(error.message) }, async () => {
    throw Object.assign(new Error('handled'), { code: 'E_SHOP' })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return [app.server.address().port, () => app.close()]
}

async function koa (load) {
  const Koa = load('koa')
  const found = load('@koa/router')
  const Router = found.default || found
  const app = new Koa()
  app.silent = true
  const router = new Router()
  router.get('/items/:id', context => { context.body = 'ok' })
  const inner = new Router({ prefix: '/shops/:shop' })
  inner.get('/orders/:order', async context => { await null; context.body = 'ok' })
  router.use(inner.routes())
  router.get('/boom/async', async () => { throw new TypeError('async') })
  router.get('/boom/sent', () => { throw new RangeError('sent') })
  router.get('/boom/handled', async context => {
    context.throw(418, 'handled')
  })
  app.use(router.routes())
  const server = http.createServer(app.callback())
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return [server.address().port, () => server.close()]
}

async function hapi (load) {
  const server = load('@hapi/hapi').server({ host: '127.0.0.1', port: 0, debug: false })
  server.route([
    { method: 'GET', path: '/items/{id}', handler: () => 'ok' },
    { method: 'GET', path: '/shops/{shop}/orders/{order}', handler: async () => { await null; return 'ok' } },
    { method: 'GET', path: '/boom/async', handler: async () => { throw new TypeError('async') } },
    { method: 'GET', path: '/boom/sent', handler: () => { throw new RangeError('sent') } },
    { method: 'GET', path: '/boom/handled', handler: (request, h) => h.response('handled').code(418) }
  ])
  await server.start()
  return [server.info.port, () => server.stop({ timeout: 1 })]
}

async function restify (load) {
  const server = load('restify').createServer()
  const thrown = make => (request, response, next) => next(make())
  server.get('/items/:id', (request, response, next) => { response.send('ok'); next() })
  server.get('/shops/:shop/orders/:order', async (request, response) => { await null; response.send('ok') })
  server.get('/boom/async', async () => { throw new TypeError('async') })
  server.get('/boom/sent', thrown(() => new RangeError('sent')))
  server.get('/boom/handled', thrown(() => Object.assign(new Error('handled'), { statusCode: 418 })))
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return [server.address().port, () => server.close()]
}

const frameworks = { fastify, koa, hapi, restify }

module.exports = async ({ load, attachFor, get }) => {
  const [port, close] = await frameworks[process.env.FRAMEWORK](load)
  const ask = async () => {
    const statuses = {}
    for (const target of ['/items/7', '/shops/items/orders/9', '/boom/async', '/boom/sent', '/boom/handled', '/none']) {
      statuses[target] = (await get(port, target)).status
    }
    return statuses
  }
  const status = await attachFor(ask)
  const statuses = await ask()
  await close()
  return { status, statuses }
}
