// A restify service with a route for each of further libraries.
//
// /ask/:library  asks its server once
// /throw         the handler fails
'use strict';

const http2 = require('node:http2');
const { MongoClient } = require('mongodb');
const restify = require('restify');
const WebSocket = require('ws');

const { PORT, MONGODB_PORT, WS_PORT, HTTP2_PORT } = process.env;

const mongodb = new MongoClient(`mongodb://127.0.0.1:${MONGODB_PORT}/?directConnection=true`);
const socket = new WebSocket(`ws://127.0.0.1:${WS_PORT}`);
const session = http2.connect(`http://127.0.0.1:${HTTP2_PORT}`);

const ways = {
  mongodb: () => mongodb.db('shop').collection('orders').findOne({ _id: 1 }),
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

Promise.all([mongodb.connect(), new Promise((resolve) => { socket.on('open', resolve); })]).then(() => {
  server.listen(Number(PORT), '127.0.0.1');
});
