// A restify service with a route for each of further libraries.
//
// /ask/:library  asks its server once
// /throw         the handler fails
'use strict';

const http2 = require('node:http2');
const { Client } = require('@elastic/elasticsearch');
const { MongoClient } = require('mongodb');
const restify = require('restify');
const { Connection, Request } = require('tedious');
const WebSocket = require('ws');

const { PORT, MONGODB_PORT, WS_PORT, HTTP2_PORT, ELASTICSEARCH_PORT, TDS_PORT } = process.env;

const mongodb = new MongoClient(`mongodb://127.0.0.1:${MONGODB_PORT}/?directConnection=true`);
const socket = new WebSocket(`ws://127.0.0.1:${WS_PORT}`);
const elasticsearch = new Client({ node: `http://127.0.0.1:${ELASTICSEARCH_PORT}` });
const sql = new Connection({
  server: '127.0.0.1',
  authentication: { type: 'default', options: { userName: 'shop', password: 'secret' } },
  options: { port: Number(TDS_PORT), database: 'shop', encrypt: false },
});
const session = http2.connect(`http://127.0.0.1:${HTTP2_PORT}`);

const ways = {
  mongodb: () => mongodb.db('shop').collection('orders').findOne({ _id: 1 }),
  elasticsearch: () => elasticsearch.search({ index: 'shop', query: { match_all: {} } }),
  tedious: () => new Promise((resolve) => { sql.execSql(new Request('SELECT name FROM items WHERE id = 1', resolve)); }),
  ws: () => new Promise((resolve) => { socket.send('message', resolve); }),
  http2: () => new Promise((resolve, reject) => {
    session.request({ ':path': '/item/1' }).on('error', reject).on('end', resolve).resume();
  }),
};

const server = restify.createServer();
server.get('/ask/:library', async (request, response) => {
  await ways[request.params.library]();
  response.send('asked');
});
server.get('/throw', async () => {
  throw new TypeError('thrown on purpose');
});

Promise.all([mongodb.connect(), new Promise((resolve) => { socket.on('open', resolve); }), new Promise((resolve) => { sql.connect(resolve); })]).then(() => {
  server.listen(Number(PORT), '127.0.0.1');
});
