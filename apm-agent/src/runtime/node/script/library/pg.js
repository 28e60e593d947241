// pg, and the pool it comes with.

libraries.push(
  { name: 'pg', versions: [8, 8], files: { 'lib/client.js': pgClient } },
  { name: 'pg', package: 'pg-pool', versions: [2, 3], files: { 'index.js': pgPool } })

function pgClient ({ prototype }) {
  if (typeof prototype._pulseQueryQueue !== 'function') throw new TypeError('it has no queue of queries')
  hook(prototype, 'query', (client, args) => {
    const [query] = args
    const last = args.length - 1
    const transaction = current()
    const text = typeof query === 'string' ? query : query && query.text
    const span = transaction && typeof text === 'string' ? new Span('pg', 'SQL', transaction) : undefined
    const over = error => { if (span) endQuery(span, client, text, error) }
    if (typeof args[last] === 'function') {
      args[last] = answering(args[last], over)
    } else if (query && typeof query.submit === 'function') {
      // A cursor, a stream, or a query that the application has made itself.
      if (typeof query.callback === 'function') query.callback = answering(query.callback, over)
      else if (typeof query.once === 'function') query.once('end', () => over()).once('close', () => over())
    } else if (query && typeof query.callback === 'function') {
      args[0] = Object.assign(Object.create(query), { callback: answering(query.callback, over) })
    } else if (span) {
      return over
    }
    // Nothing is to be done with the result.
  }, (over, result) => result && typeof result.then === 'function' ? settle(result, over) : result)
}

// A callback that is told first whether it went well, in the context that gave it.
function answering (callback, over) {
  const context = held()
  return function (error) {
    try { over(error || undefined) } catch (failure) { bug(failure) }
    return applyIn(context, callback, this, arguments)
  }
}

function endQuery (span, client, text, error) {
  const stream = client.connection && client.connection.stream
  span.end(error !== undefined, error, [
    ATTRIBUTE['db.system.name'], 'postgresql',
    ATTRIBUTE['db.query.text'], text,
    ATTRIBUTE['db.namespace'], client.database,
    ATTRIBUTE['db.user'], client.user,
    ATTRIBUTE['server.address'], client.host,
    ATTRIBUTE['server.port'], client.port,
    ATTRIBUTE['network.local.port'], portOf(stream)
  ])
}

// Who waits for a client gets it from whoever gives it back.
function pgPool ({ prototype }) {
  hook(prototype, 'connect', (pool, args) => {
    if (typeof args[0] === 'function') args[0] = bind(args[0])
  })
}
