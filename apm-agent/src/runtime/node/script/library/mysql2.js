// mysql2: callbacks, promises (which are callbacks below) and events.

libraries.push({
  name: 'mysql2',
  versions: [2, 3],
  files: {
    'lib/base/connection.js': mysql2Connection,
    'lib/connection.js': mysql2Connection,
    'lib/base/pool.js': mysql2Pool,
    'lib/pool.js': mysql2Pool
  },
  classes: [
    { method: 'addCommand', like: 'handlePacket', change: mysql2Connection },
    { method: 'releaseConnection', like: 'getConnection', change: mysql2Pool }
  ]
})

// A statement that cannot be prepared: the error is told to whoever asked for its execution, in the same turn.
let notPrepared

function mysql2Connection ({ prototype }) {
  // Before 3.11 there is one class, since then what it did is done by its base.
  if (!Object.hasOwn(prototype, 'addCommand')) return
  hook(prototype, 'addCommand', (connection, [command]) => {
    if (typeof command.sql === 'string' || command.statement) execute(connection, command)
    else if (typeof command.query === 'string' && typeof command.onResult === 'function') prepare(command)
  })
}

function execute (connection, command) {
  const text = command.sql || command.statement.query
  const transaction = current()
  const span = transaction && typeof text === 'string' ? new Span('mysql2', 'SQL', transaction) : undefined
  const over = error => { if (span) endMysql(span, connection, text, error || notPrepared) }
  if (typeof command.onResult === 'function') command.onResult = answering(command.onResult, over)
  // Says everything there is to say without a callback, and the end of what could not be prepared with one.
  if (span) command.once(builtin('events').errorMonitor, over).once('end', () => over())
}

function prepare (command) {
  const bound = bind(command.onResult)
  command.onResult = function (error) {
    notPrepared = error || undefined
    try { return Reflect.apply(bound, this, arguments) } finally { notPrepared = undefined }
  }
}

function endMysql (span, { config, stream }, text, error) {
  span.end(error !== undefined, error, [
    ATTRIBUTE['db.system.name'], 'mysql',
    ATTRIBUTE['db.query.text'], text,
    ATTRIBUTE['db.namespace'], config.database,
    ATTRIBUTE['db.user'], config.user,
    ATTRIBUTE['server.address'], config.socketPath || config.host,
    ATTRIBUTE['server.port'], config.socketPath ? undefined : config.port,
    ATTRIBUTE['network.local.port'], portOf(stream)
  ])
}

// Who waits for a connection gets it from whoever gives it back.
function mysql2Pool ({ prototype }) {
  if (!Object.hasOwn(prototype, 'getConnection')) return
  hook(prototype, 'getConnection', (pool, args) => {
    if (typeof args[0] === 'function') args[0] = bind(args[0])
  })
}
