'use strict'
// Put into one file, with all they need, stands for a program that is shipped so.

module.exports = name => ({
  express: () => require('express'),
  fastify: () => require('fastify'),
  koa: () => require('koa'),
  '@koa/router': () => require('@koa/router'),
  '@hapi/hapi': () => require('@hapi/hapi'),
  pg: () => require('pg'),
  mysql2: () => require('mysql2'),
  mysql: () => require('mysql'),
  ioredis: () => require('ioredis'),
  redis: () => require('redis'),
  mongodb: () => require('mongodb'),
  memcached: () => require('memcached'),
  'cassandra-driver': () => require('cassandra-driver'),
  kafkajs: () => require('kafkajs'),
  restify: () => require('restify'),
  '@elastic/elasticsearch': () => require('@elastic/elasticsearch'),
  ws: () => require('ws')
})[name]()
