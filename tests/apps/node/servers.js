// What `libraries.js` asks: small servers made for the tests, for what cannot be installed here. They keep nothing. With
// CERTIFICATE and KEY MongoDB's speaks TLS.
'use strict';

const { readFileSync } = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const tls = require('node:tls');
const { BSON } = require('mongodb');
const { Server } = require('ws');
const awsServer = require('../node-script/aws_server.js');
const cassandraServer = require('../node-script/cassandra_server.js');
const kafkaServer = require('../node-script/kafka_server.js');
const elasticsearchServer = require('../node-script/elasticsearch_server.js');
const mongodbServer = require('../node-script/mongodb_server.js');

const { PORT, MONGODB_PORT, WS_PORT, HTTP2_PORT, ELASTICSEARCH_PORT, AWS_PORT, CASSANDRA_PORT, KAFKA_PORT, CERTIFICATE, KEY } = process.env;

const mongodb = mongodbServer(BSON || require(require.resolve('bson', { paths: [require.resolve('mongodb')] })));
const behindTls = () => tls.createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, (socket) => mongodb.emit('connection', socket));
(KEY ? behindTls() : mongodb).listen(Number(MONGODB_PORT), '127.0.0.1');
awsServer([]).listen(Number(AWS_PORT), '127.0.0.1');
cassandraServer().listen(Number(CASSANDRA_PORT), '127.0.0.1');
kafkaServer().listen(Number(KAFKA_PORT), '127.0.0.1');
elasticsearchServer().listen(Number(ELASTICSEARCH_PORT), '127.0.0.1');
new Server({ host: '127.0.0.1', port: Number(WS_PORT) }).on('connection', (socket) => socket.on('message', () => {}));
http2.createServer((request, response) => response.end(request.url)).listen(Number(HTTP2_PORT), '127.0.0.1');
http.createServer((request, response) => response.end('ready')).listen(Number(PORT), '127.0.0.1');
