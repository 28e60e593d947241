// memcached: each command is put together by a function, in the context of whoever asked for it.

libraries.push({
  name: 'memcached',
  versions: [2, 2],
  files: { 'lib/memcached.js': memcachedClient },
  classes: [{ method: 'command', like: 'getMulti', change: memcachedClient }]
})

function memcachedClient ({ prototype }) {
  hook(prototype, 'command', (client, args) => {
    const [compile] = args
    if (typeof compile !== 'function') return
    const transaction = current()
    args[0] = function () {
      const query = Reflect.apply(compile, this, arguments)
      try { watchQuery(client, query, transaction) } catch (error) { bug(error) }
      return query
    }
  })
}

function watchQuery (client, query, transaction) {
  if (!query || typeof query.callback !== 'function') return
  const span = transaction && new Span('memcached', `memcached.${query.type}`, transaction)
  query.callback = answering(query.callback, error => {
    if (!span) return
    // Which of several it is, is decided later.
    const [, host, port] = (client.servers.length === 1 && /^(.*):(\d+)$/.exec(client.servers[0])) || []
    const failed = error instanceof Error
    span.end(failed, failed ? error : undefined, [
      ATTRIBUTE['db.system.name'], 'memcached',
      ATTRIBUTE['db.operation.name'], query.type,
      ATTRIBUTE['db.query.text'], `${query.type} ${query.key}`,
      ATTRIBUTE['server.address'], host,
      ATTRIBUTE['server.port'], port
    ])
  })
}
