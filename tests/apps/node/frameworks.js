// Fastify, Koa and hapi, each on a port of its own, for what an agent in the process makes of them.
//
// /fastify/item/:id    nothing else
// /fastify/fetch?url=  an outgoing request by fetch; its status is passed on
// /fastify/throw       the handler throws
// /fastify/crash       answers, and ends the process by an exception that nobody catches
// /koa/item/:id        nothing else, with @koa/router
// /koa/throw           the handler throws
// /hapi/item/:id       nothing else
// /hapi/throw          the handler throws
'use strict';

const hapi = require('@hapi/hapi');
const router = require('@koa/router');
const fastify = require('fastify');
const Koa = require('koa');

const Router = router.default || router;
const { PORT, KOA_PORT, HAPI_PORT } = process.env;
const host = '127.0.0.1';

async function serveFastify(port) {
  const app = fastify();
  app.get('/fastify/item/:id', async (request) => `item ${request.params.id}`);
  app.get('/fastify/fetch', async (request, reply) => reply.code((await fetch(request.query.url)).status).send('fetched'));
  app.get('/fastify/throw', async () => {
    throw new TypeError('thrown on purpose');
  });
  app.get('/fastify/crash', async (request, reply) => {
    reply.raw.on('close', () => setImmediate(() => {
      throw new RangeError('caught by nobody');
    }));
    return 'crashing';
  });
  await app.listen({ port, host });
}

async function serveKoa(port) {
  const app = new Koa();
  const routes = new Router();
  routes.get('/koa/item/:id', (context) => { context.body = `item ${context.params.id}`; });
  routes.get('/koa/throw', () => {
    throw new TypeError('thrown on purpose');
  });
  // Koa would print the stack of what is thrown.
  app.silent = true;
  app.use(routes.routes());
  await new Promise((resolve) => { app.listen(port, host, resolve); });
}

async function serveHapi(port) {
  const server = hapi.server({ host, port, debug: false });
  server.route({ method: 'GET', path: '/hapi/item/{id}', handler: (request) => `item ${request.params.id}` });
  server.route({
    method: 'GET',
    path: '/hapi/throw',
    handler: () => {
      throw new TypeError('thrown on purpose');
    },
  });
  await server.start();
}

// The first port is open last: who waits for it waits for all.
Promise.all([serveKoa(Number(KOA_PORT)), serveHapi(Number(HAPI_PORT))]).then(() => serveFastify(Number(PORT)));
