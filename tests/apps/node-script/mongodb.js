'use strict'
// Ways to ask MongoDB, one request each; more at a time than there are connections, too.

const http = require('http')
const mongodbServer = require('./mongodb_server')

module.exports = async ({ load, attachFor, listen, get, each }) => {
  const { MongoClient, BSON } = load('mongodb')
  const bson = BSON || require(require.resolve('bson', { paths: [process.env.MODULES] }))
  const server = mongodbServer(bson)
  const mongo = await listen(server)
  const client = new MongoClient(`mongodb://127.0.0.1:${mongo}/?directConnection=true`, { maxPoolSize: 2 })
  await client.connect()
  const orders = client.db('shop').collection('orders')

  const ways = {
    find: () => orders.findOne({ _id: 1 }),
    cursor: () => orders.find({}, { batchSize: 1 }).toArray(),
    insert: () => orders.insertOne({ _id: 3, text: 'x' }),
    database: () => client.db('shop').command({ ping: 1 }),
    failed: () => client.db('shop').command({ nothing: 1 }).then(() => 'fine', error => error.codeName)
  }
  const served = http.createServer(async (request, response) => {
    const [, way, id] = request.url.split('/')
    if (id !== undefined) await client.db('shop').collection(`orders${id}`).findOne({})
    response.end(JSON.stringify(await (ways[way] ? ways[way]() : null)))
  })
  const port = await listen(served)
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = await attachFor(ask)
  const after = await ask()
  await each(40, 20, id => get(port, `/many/${id}`, { agent: new http.Agent() }))
  await client.close()
  server.close()
  return { status, before, after, mongo }
}
