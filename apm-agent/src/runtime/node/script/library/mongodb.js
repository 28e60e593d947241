// mongodb: everything that is sent is a command on a connection.

libraries.push({
  name: 'mongodb',
  versions: [5, 7],
  files: { 'lib/cmap/connection.js': mongodbConnection, 'lib/cmap/connection_pool.js': mongodbPool },
  // The first is that of version 5.
  classes: [
    { method: 'command', like: 'onMessage', change: exports => mongodbConnection({ Connection: exports }, 5) },
    { method: 'command', like: 'sendWire', change: exports => mongodbConnection({ Connection: exports }, 6) },
    { method: 'checkIn', like: 'checkOut', change: exports => mongodbPool({ ConnectionPool: exports }) }
  ]
})

// What a connection sends for its own sake.
const GREETINGS = new Set(['hello', 'ismaster', 'isMaster'])

function mongodbConnection ({ Connection: { prototype } }, major) {
  hook(prototype, 'command', (connection, args) => {
    const [namespace, command] = args
    const name = Object.keys(command)[0]
    const transaction = current()
    const span = transaction && !GREETINGS.has(name) ? new Span('mongodb', commandName(namespace, command, name), transaction) : undefined
    const over = error => { if (span) endMongodb(span, connection, namespace, name, error) }
    // Since version 6 the last argument may be a class.
    if (major < 6) args[args.length - 1] = answering(args[args.length - 1], over)
    else if (span) return over
  }, (over, result) => result && typeof result.then === 'function' ? settle(result, over) : result)
}

// As Elastic's agent has it: `shop.orders.find`.
function commandName ({ db }, command, name) {
  const collection = name === 'getMore' ? command.collection : command[name]
  return [db, typeof collection === 'string' ? collection : '$cmd', name].join('.')
}

function endMongodb (span, connection, { db }, name, error) {
  const { address } = connection
  const [, host, port] = /^(.*):(\d+)$/.exec(address) || []
  span.end(error !== undefined, error, [
    ATTRIBUTE['db.system.name'], 'mongodb',
    ATTRIBUTE['db.namespace'], db,
    ATTRIBUTE['db.operation.name'], name,
    ATTRIBUTE['server.address'], host || address,
    ATTRIBUTE['server.port'], port,
    ATTRIBUTE['network.local.port'], portOf(mongodbSocket(connection))
  ])
}

// Before version 6 it stands under a symbol of its own.
function mongodbSocket (connection) {
  return connection.socket || connection[Object.getOwnPropertySymbols(connection).find(({ description }) => description === 'stream')]
}

// Before version 6 who waits for a connection gets it from whoever gives it back.
function mongodbPool ({ ConnectionPool: { prototype } }) {
  hook(prototype, 'checkOut', (pool, args) => {
    if (typeof args[0] === 'function') args[0] = bind(args[0])
  })
}
