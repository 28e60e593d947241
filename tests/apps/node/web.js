// An Express service with a PostgreSQL pool, for what the script in the process tells.
//
// /item/:id     one query
// /two/:id      two queries one after the other
// /at-once/:id  three queries queued on one connection
// /call?url=U   an outgoing HTTP request; its status is passed on
// /throw        the handler throws
// /bad          a query that fails
// /nowhere      404
'use strict';

const http = require('node:http');
const express = require('express');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const app = express();

app.get('/item/:id', async (request, response) => {
  const { rows } = await pool.query(`SELECT ${Number(request.params.id)} AS id`);
  response.send(`item ${rows[0].id}`);
});

app.get('/two/:id', async (request, response) => {
  const id = Number(request.params.id);
  await pool.query('SELECT $1::int AS first', [id]);
  await pool.query(`SELECT ${id} AS second`);
  response.send('two');
});

app.get('/at-once/:id', async (request, response) => {
  const id = Number(request.params.id);
  const client = await pool.connect();
  try {
    await Promise.all([1, 2, 3].map((part) => client.query(`SELECT ${id} AS part${part}`)));
  } finally {
    client.release();
  }
  response.send('at once');
});

app.get('/call', (request, response) => {
  http.get(request.query.url, (upstream) => {
    upstream.resume();
    upstream.on('end', () => response.status(upstream.statusCode).send('called'));
  }).on('error', (error) => response.status(502).send(error.message));
});

app.get('/throw', () => {
  throw new TypeError('thrown on purpose');
});

app.get('/bad', async (request, response) => {
  try {
    await pool.query('SELECT no_such_column FROM items');
  } catch (error) {
    response.status(500).send(error.message);
  }
});

// Express would print the stack of what is thrown.
app.use((error, request, response, next) => response.status(500).send(error.message));

const server = app.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
  pool.end();
});
