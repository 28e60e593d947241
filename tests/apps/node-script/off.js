'use strict'
// The script with each of `NAMES` switched off, in a process that has all libraries.

const fs = require('fs')

const PACKAGES = [
  'express', 'fastify', 'koa', '@hapi/hapi', 'restify', 'pg', 'mysql', 'mysql2', 'tedious', 'cassandra-driver', 'ioredis', 'redis', 'memcached', 'mongodb',
  '@elastic/elasticsearch', 'ws', 'kafkajs', 'graphql', '@apollo/server', '@aws-sdk/client-sns'
]

module.exports = async ({ load, attach, attached }) => {
  PACKAGES.forEach(load)
  // It loads the rest of itself when it is used.
  load('mysql').createConnection({})
  const expression = fs.readFileSync(process.env.EXPRESSION, 'utf8')
  const patchedWithout = off => {
    const { patched } = attach(expression.replace('"off":[]', () => `"off":${JSON.stringify(off)}`))
    attached().detach()
    return patched
  }
  const without = process.env.NAMES.split(' ').map(name => [name, patchedWithout([name])])
  return { all: patchedWithout([]), without: Object.fromEntries(without) }
}
