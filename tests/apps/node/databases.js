// An Express service that asks databases by libraries the agent's script knows, over connections that stay open.
//
// /mysql/query/:id    mysql2, one query
// /mysql/execute/:id  mysql2, a statement that is prepared for it
// /mysql/bad          mysql2, a query that fails
// /mysql/unprepared   mysql2, a statement that cannot be prepared
// /redis/io/:id       ioredis, two commands at once
// /redis/client/:id   node-redis, one command
// /redis/bad          ioredis, a command that fails
'use strict';

const express = require('express');

const app = express();
const host = '127.0.0.1';

function useMysql(port) {
  const pool = require('mysql2').createPool({ host, port, user: 'shop', database: 'shop', connectionLimit: 4 }).promise();
  app.get('/mysql/query/:id', async (request, response) => {
    const [rows] = await pool.query(`SELECT id, name FROM items WHERE id = ${Number(request.params.id)}`);
    response.send(rows[0].name);
  });
  app.get('/mysql/execute/:id', async (request, response) => {
    const [rows] = await pool.execute('SELECT name FROM items WHERE id = ?', [Number(request.params.id)]);
    response.send(rows[0].name);
  });
  app.get('/mysql/unprepared', async (request, response) => {
    try {
      await pool.execute('SELECT nothing FROM missing_table WHERE id = ?', [1]);
    } catch (error) {
      response.status(500).send(error.code);
    }
  });
  app.get('/mysql/bad', async (request, response) => {
    try {
      await pool.query('SELECT nothing FROM missing_table');
    } catch (error) {
      response.status(500).send(error.code);
    }
  });
}

if (process.env.MYSQL_PORT) useMysql(Number(process.env.MYSQL_PORT));

function useRedis(port) {
  const io = new (require('ioredis'))({ host, port });
  const client = require('redis').createClient({ socket: { host, port } });
  client.connect();
  app.get('/redis/io/:id', async (request, response) => {
    const [one, two] = await Promise.all([io.get(`item:${request.params.id}`), io.strlen('item')]);
    response.send(`${one} ${two}`);
  });
  app.get('/redis/client/:id', async (request, response) => response.send(String(await client.get(request.params.id))));
  app.get('/redis/bad', async (request, response) => {
    try {
      await io.call('NOSUCH', 'hidden-word');
    } catch (error) {
      response.status(500).send(error.message);
    }
  });
}

if (process.env.REDIS_PORT) useRedis(Number(process.env.REDIS_PORT));

const server = app.listen(Number(process.env.PORT), host);
process.on('SIGTERM', () => process.exit(0));
