// mysql: everything that is sent goes through its protocol's queue.

libraries.push({
  name: 'mysql',
  versions: [2, 2],
  files: { 'lib/protocol/Protocol.js': mysqlProtocol, 'lib/Pool.js': mysqlPool },
  classes: [
    { method: '_enqueue', like: 'handshake', change: mysqlProtocol },
    { method: 'releaseConnection', like: 'acquireConnection', change: mysqlPool }
  ]
})

function mysqlProtocol ({ prototype }) {
  hook(prototype, '_enqueue', (protocol, [sequence]) => {
    const text = sequence.sql
    // What is no query may call back as well.
    if (typeof sequence._callback !== 'function' && typeof text !== 'string') return
    const transaction = current()
    const span = transaction && typeof text === 'string' ? new Span('mysql', 'SQL', transaction) : undefined
    const over = error => { if (span) endMysql(span, placeOf(protocol._connection), text, error) }
    if (typeof sequence._callback === 'function') sequence._callback = answering(sequence._callback, over)
    if (span) sequence.once(builtin('events').errorMonitor, over).once('end', () => over())
  })
}

function placeOf (connection) {
  return { config: (connection && connection.config) || {}, stream: connection && connection._socket }
}

// Who waits for a connection gets it from whoever gives it back.
function mysqlPool ({ prototype }) {
  hook(prototype, 'getConnection', (pool, args) => {
    if (typeof args[0] === 'function') args[0] = bind(args[0])
  })
}
