// What is measured: an Express service that asks PostgreSQL and Redis once for each request.
//
// /item/:id  a query of a pool, then a Redis command
'use strict';

const express = require('express');
const Redis = require('ioredis');
const { Pool } = require('pg');

const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const redis = new Redis({ host: '127.0.0.1', port: Number(process.env.REDISPORT) });
const app = express();

app.get('/item/:id', async (request, response, next) => {
  try {
    const { rows } = await pool.query('SELECT $1::int AS id', [Number(request.params.id)]);
    const count = await redis.get(`count:${rows[0].id}`);
    response.send(`item ${rows[0].id}, ${count}`);
  } catch (error) {
    next(error);
  }
});

app.listen(Number(process.env.PORT), '127.0.0.1');
