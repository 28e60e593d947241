'use strict'
// Ways to ask Elasticsearch, one request each. The server is a small one made for the tests.

const http = require('http')
const elasticsearch = require('./elasticsearch_server')

module.exports = async ({ load, attach, listen, get, echo }) => {
  const { Client, HttpConnection } = load('@elastic/elasticsearch')
  const place = await listen(elasticsearch())
  const down = await listen(echo())
  const client = new Client({ node: `http://127.0.0.1:${place}` })
  // By `http`, where the other uses undici.
  const older = new Client({ node: `http://127.0.0.1:${place}`, Connection: HttpConnection })
  const ways = {
    search: () => client.search({ index: 'shop', query: { match_all: {} } }),
    get: () => client.get({ index: 'shop', id: '1' }),
    http: () => older.search({ index: 'shop', query: { term: { a: 1 } } }),
    failed: () => client.search({ index: 'missing' }).then(() => 'fine', error => error.statusCode),
    // What is called afterwards is told.
    then: async () => {
      await client.ping()
      return (await get(down, '/down', { agent: new http.Agent() })).status
    }
  }
  const port = await listen(http.createServer(async (request, response) => {
    response.end(JSON.stringify(await ways[request.url.slice(1)]()))
  }))
  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    return answers
  }
  const before = await ask()
  const status = attach()
  const after = await ask()
  await Promise.all([client.close(), older.close()])
  return { status, before, after, place }
}
