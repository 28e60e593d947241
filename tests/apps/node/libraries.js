// A restify service with a route for each of many libraries.
//
// /ask/:library  asks its server once
// /apollo        an operation by Apollo Server, which the request is named by
// /throw         the handler fails
'use strict';

const http2 = require('node:http2');
const { ApolloServer, HeaderMap } = require('@apollo/server');
const { DynamoDBClient, QueryCommand } = require('@aws-sdk/client-dynamodb');
const { S3Client, PutObjectCommand } = require('@aws-sdk/client-s3');
const { SNSClient, PublishCommand } = require('@aws-sdk/client-sns');
const { SQSClient, SendMessageCommand } = require('@aws-sdk/client-sqs');
const { Client } = require('@elastic/elasticsearch');
const cassandra = require('cassandra-driver');
const graphql = require('graphql');
const { Kafka, logLevel } = require('kafkajs');
const Memcached = require('memcached');
const { MongoClient } = require('mongodb');
const mysql = require('mysql');
const restify = require('restify');
const { Connection, Request } = require('tedious');
const WebSocket = require('ws');

const { PORT, MONGODB_PORT, WS_PORT, HTTP2_PORT, ELASTICSEARCH_PORT, TDS_PORT, AWS_PORT, CASSANDRA_PORT, KAFKA_PORT } = process.env;
const { MYSQL_PORT, MEMCACHED_PORT } = process.env;

const mongodb = new MongoClient(`mongodb://127.0.0.1:${MONGODB_PORT}/?directConnection=true`);
const socket = new WebSocket(`ws://127.0.0.1:${WS_PORT}`);
const elasticsearch = new Client({ node: `http://127.0.0.1:${ELASTICSEARCH_PORT}` });
const sql = new Connection({
  server: '127.0.0.1',
  authentication: { type: 'default', options: { userName: 'shop', password: 'secret' } },
  options: { port: Number(TDS_PORT), database: 'shop', encrypt: false },
});
const maria = mysql.createConnection({ host: '127.0.0.1', port: Number(MYSQL_PORT), user: 'shop', database: 'shop' });
const memcached = new Memcached(`127.0.0.1:${MEMCACHED_PORT}`);
const session = http2.connect(`http://127.0.0.1:${HTTP2_PORT}`);

const place = `http://127.0.0.1:${AWS_PORT}`;
const aws = { region: 'eu-test-1', endpoint: place, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } };
const storage = new S3Client({ ...aws, forcePathStyle: true });
const queues = new SQSClient(aws);
const topics = new SNSClient(aws);
const tables = new DynamoDBClient(aws);
const rows = new cassandra.Client({
  contactPoints: [`127.0.0.1:${CASSANDRA_PORT}`],
  localDataCenter: 'here',
  keyspace: 'shop',
  isMetadataSyncEnabled: false,
  protocolOptions: { maxVersion: 4 },
});
const kafka = new Kafka({ brokers: [`127.0.0.1:${KAFKA_PORT}`], logLevel: logLevel.NOTHING });
const producer = kafka.producer();
const consumer = kafka.consumer({ groupId: 'shop' });
let received = () => {};
async function connectKafka() {
  await producer.connect();
  await consumer.connect();
  await consumer.subscribe({ topics: ['orders'], fromBeginning: true });
  await consumer.run({ eachMessage: async () => received() });
}
const schema = graphql.buildSchema('type Query { total: Int }');
const apollo = new ApolloServer({ typeDefs: 'type Query { total: Int }', resolvers: { Query: { total: () => 2 } } });
const body = { query: '{ total }' };
const httpGraphQLRequest = { method: 'POST', headers: new HeaderMap([['content-type', 'application/json']]), search: '', body };

const ways = {
  s3: () => storage.send(new PutObjectCommand({ Bucket: 'goods', Key: 'one', Body: 'text' })),
  sqs: () => queues.send(new SendMessageCommand({ QueueUrl: `${place}/000000000000/orders`, MessageBody: 'text' })),
  sns: () => topics.send(new PublishCommand({ TopicArn: 'arn:aws:sns:eu-test-1:000000000000:shop', Message: 'text' })),
  dynamodb: () => tables.send(new QueryCommand({ TableName: 'items', KeyConditionExpression: 'id = 1' })),
  kafka: async () => {
    const arrival = new Promise((resolve) => { received = resolve; });
    await producer.send({ topic: 'orders', messages: [{ value: 'text' }] });
    await arrival;
  },
  cassandra: () => rows.execute('SELECT name FROM items'),
  graphql: () => graphql.graphql({ schema, source: '{ total }', rootValue: { total: 2 } }),
  mongodb: () => mongodb.db('shop').collection('orders').findOne({ _id: 1 }),
  elasticsearch: () => elasticsearch.search({ index: 'shop', query: { match_all: {} } }),
  tedious: () => new Promise((resolve) => { sql.execSql(new Request('SELECT name FROM items WHERE id = 1', resolve)); }),
  mysql: () => new Promise((resolve) => { maria.query('SELECT name FROM items WHERE id = 1', resolve); }),
  memcached: () => new Promise((resolve) => { memcached.get('item', resolve); }),
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
server.get('/apollo', async (request, response) => {
  await apollo.executeHTTPGraphQLRequest({ httpGraphQLRequest, context: async () => ({}) });
  response.send('asked');
});
server.get('/throw', async () => {
  throw new TypeError('thrown on purpose');
});

Promise.all([apollo.start(), connectKafka(), rows.connect(), mongodb.connect(), new Promise((resolve) => { socket.on('open', resolve); }), new Promise((resolve) => { sql.connect(resolve); }), new Promise((resolve) => { maria.connect(resolve); })]).then(() => {
  server.listen(Number(PORT), '127.0.0.1');
});
