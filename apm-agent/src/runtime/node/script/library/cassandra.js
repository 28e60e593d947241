// cassandra-driver: each request for a statement, a batch, or a page of rows. All ways to ask go through two functions.

libraries.push({
  name: 'cassandra-driver',
  versions: [4, 4],
  files: { 'lib/client.js': cassandraClient },
  classes: [{ method: '_execute', like: '_batch', change: cassandraClient }]
})

function cassandraClient ({ prototype }) {
  cassandraCall(prototype, '_connect', client => client.connected ? undefined : { name: 'Cassandra: Connect' })
  cassandraCall(prototype, '_execute', (client, [text, , options]) => ({
    name: 'CQL',
    text,
    keyspace: options && options.getKeyspace()
  }))
  cassandraCall(prototype, '_batch', (client, [queries, options]) => ({
    name: 'Cassandra: Batch query',
    text: Array.isArray(queries) ? queries.map(query => (query && query.query) || query).join(';\n') : undefined,
    keyspace: options && options.keyspace
  }))
  // Rows come when the connection reads them.
  hook(prototype, 'eachRow', (_, args) => {
    for (const [at, argument] of args.entries()) {
      if (typeof argument === 'function') args[at] = bind(argument)
    }
  })
}

// `describe` says what is asked; undefined: nothing.
function cassandraCall (prototype, method, describe) {
  hook(prototype, method, (client, args) => {
    const transaction = current()
    const asked = transaction && describe(client, args)
    if (!asked) return
    const span = new Span('cassandra-driver', asked.name, transaction)
    const keyspace = asked.keyspace || client.keyspace
    return error => span.end(error !== undefined, error, [
      ATTRIBUTE['db.system.name'], 'cassandra',
      ATTRIBUTE['db.query.text'], asked.text,
      ATTRIBUTE['db.namespace'], keyspace
    ])
  }, (over, result) => settle(result, over))
}
