'use strict'
// Ways to have GraphQL executed, one request each: by the package itself and by Apollo Server.

const http = require('http')

module.exports = async ({ load, attach, listen, get, echo }) => {
  const graphql = load('graphql')
  const { ApolloServer, HeaderMap } = load('@apollo/server')
  const { startStandaloneServer } = load('@apollo/server/standalone')
  const express = load('express')
  const down = await listen(echo())
  const typeDefs = 'type Query { items: [String] total: Int broken: Int called: Int }'
  const called = async () => (await get(down, '/down', { agent: new http.Agent() })).status
  const broken = () => { throw new Error('broken on purpose') }
  const rootValue = { items: async () => ['a', 'b'], total: 2, broken, called }
  const schema = graphql.buildSchema(typeDefs)
  const execute = (text, operationName) => graphql.execute({ schema, document: graphql.parse(text), rootValue, operationName })

  const ways = {
    execute: () => execute('query Shop { total items }'),
    // Nothing in it is waited for.
    sync: () => execute('{ total }'),
    chosen: () => execute('query One { items } query Two { total }', 'Two'),
    package: () => graphql.graphql({ schema, source: '{ items ... { total } }', rootValue }),
    failed: () => execute('{ broken }'),
    inside: () => execute('{ called }'),
    // Nothing is executed.
    invalid: () => graphql.graphql({ schema, source: '{ nothing }', rootValue }),
    misused: async () => { try { return await graphql.execute({ schema }) } catch (error) { return error.message } }
  }
  const port = await listen(http.createServer(async (request, response) => {
    const { data, errors, ...rest } = Object(await ways[request.url.slice(1)]())
    response.end(JSON.stringify({ data, errors, rest: Object.keys(rest).length }))
  }))

  const make = () => new ApolloServer({ typeDefs, resolvers: { Query: { items: rootValue.items, total: () => 2, called } } })
  const alone = make()
  const { url } = await startStandaloneServer(alone, { listen: { port: 0, host: '127.0.0.1' } })
  const mounted = make()
  await mounted.start()
  const app = express()
  app.use('/graphql', express.json(), async (request, response) => {
    const headers = new HeaderMap(Object.entries(request.headers))
    const httpGraphQLRequest = { method: request.method, headers, search: '', body: request.body }
    const answer = await mounted.executeHTTPGraphQLRequest({ httpGraphQLRequest, context: async () => ({}) })
    response.status(answer.status || 200).end(answer.body.string)
  })
  const within = await listen(http.createServer(app))
  const post = (port, target, body) => new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json' }
    const request = http.request({ host: '127.0.0.1', port, path: target, method: 'POST', headers }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', piece => { text += piece }).on('end', () => resolve(JSON.parse(text)))
    })
    request.on('error', reject).end(JSON.stringify(body))
  })

  const ask = async () => {
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    answers.mounted = await post(within, '/graphql?mounted', { query: 'query Shop { total items }' })
    answers.nameless = await post(within, '/graphql?nameless', { query: '{ called }' })
    answers.refused = await post(within, '/graphql?refused', { query: '{ nothing }' })
    answers.alone = await post(new URL(url).port, '/?alone', { query: '{ items }' })
    return answers
  }
  const before = await ask()
  attach()
  const after = await ask()
  await Promise.all([alone.stop(), mounted.stop()])
  // Attached again, it says what went wrong meanwhile.
  return { status: attach(), before, after }
}
