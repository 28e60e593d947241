// Two services, one behind the other, with a request's id in all it does: in paths, statements and commands.
//
// /fan/ID       asks PostgreSQL, MariaDB, Redis, and the other service by http, https and fetch, at once and in callbacks
// /leaf/WAY/ID  answers with ID; this service, where there is no other
'use strict';

const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');

const { PORT, TLS_PORT, TLS_CERT, TLS_KEY, DOWN_PORT, DOWN_TLS_PORT, DATABASE_URL, MYSQLPORT, REDISPORT } = process.env;

// A function with a callback for the last argument, called with the arguments of before it.
const called = (method, ...args) => new Promise((resolve, reject) => {
  method(...args, (error, result) => (error ? reject(error) : resolve(result)));
});

function postgres() {
  const { Pool } = require('pg');
  const pool = new Pool({ connectionString: DATABASE_URL, max: 10 });
  return [
    (id) => pool.query(`SELECT 'id=${id}.' AS promise`),
    // Asked for in a callback that a pool has called.
    (id) => new Promise((resolve, reject) => {
      pool.query(`SELECT 'id=${id}.' AS callback`, (error) => {
        if (error) reject(error);
        else pool.query(`SELECT 'id=${id}.' AS nested`).then(resolve, reject);
      });
    }),
    async (id) => {
      const client = await pool.connect();
      try {
        await client.query(`SELECT 'id=${id}.' AS checked_out`);
      } finally {
        client.release();
      }
    },
  ];
}

function mariadb() {
  const pool = require('mysql2').createPool({ host: '127.0.0.1', port: Number(MYSQLPORT), user: 'shop', database: 'shop', connectionLimit: 10, maxPreparedStatements: 100 });
  return [
    (id) => pool.promise().query(`SELECT 'id=${id}.' AS promise`),
    (id) => new Promise((resolve, reject) => {
      pool.query(`SELECT 'id=${id}.' AS callback`, (error) => {
        if (error) reject(error);
        else pool.promise().execute(`SELECT 'id=${id}.' AS nested`).then(resolve, reject);
      });
    }),
  ];
}

// Of a command no more is told than its name, so that the id has to be part of that. Redis knows no such command.
function redis() {
  const Redis = require('ioredis');
  const client = new Redis({ host: '127.0.0.1', port: Number(REDISPORT) });
  const isUnknown = (error) => {
    if (!error.message.includes('unknown command')) throw error;
  };
  return [(id) => client.call(`id=${id}.`).catch(isUnknown)];
}

function leaf() {
  const agents = { http: new http.Agent({ keepAlive: true, maxSockets: 20 }), https: new https.Agent({ keepAlive: true, maxSockets: 20 }) };
  const check = (id, text) => {
    if (text !== `leaf ${id}`) throw new Error(`"${text}" is no answer to ${id}`);
  };
  const get = (module, way, port) => (id) => called((callback) => {
    const options = { host: '127.0.0.1', port, path: `/leaf/${way}/${id}`, agent: agents[way], rejectUnauthorized: false };
    module.get(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => callback(null, text));
    }).on('error', callback);
  }).then((text) => check(id, text));
  return [
    get(http, 'http', DOWN_PORT),
    get(https, 'https', DOWN_TLS_PORT),
    async (id) => check(id, await (await fetch(`http://127.0.0.1:${DOWN_PORT}/leaf/fetch/${id}`)).text()),
  ];
}

const calls = DOWN_PORT ? [postgres, mariadb, redis, leaf].flatMap((library) => library()) : [];

async function answer(request, response) {
  const [, route, way, number] = request.url.split('/');
  try {
    await new Promise((resolve) => { setTimeout(resolve, Math.random() * 3); });
    await Promise.all(calls.map((call) => call(way)));
    response.end(route === 'leaf' ? `leaf ${number}` : `fan ${way}`);
  } catch (error) {
    response.writeHead(500).end(error.stack);
  }
}

http.createServer({ keepAliveTimeout: 0 }, answer).listen(Number(PORT), '127.0.0.1');
if (TLS_PORT) {
  const secrets = { key: fs.readFileSync(TLS_KEY), cert: fs.readFileSync(TLS_CERT) };
  https.createServer({ ...secrets, keepAliveTimeout: 0 }, answer).listen(Number(TLS_PORT), '127.0.0.1');
}
