// tedious: one request at a time on a connection, told by a callback and by events.

libraries.push({
  name: 'tedious',
  versions: [18, 19],
  files: { 'lib/connection.js': tediousConnection, 'lib/request.js': tediousRequest }
})

// Number of the stored procedure that prepares a statement.
const PREPARE = 11

// Notes on requests: the context they were made in.
const madeIn = notes()

function tediousConnection (exports) {
  hook((exports.default || exports).prototype, 'makeRequest', (connection, [request, , payload]) => {
    // A bulk load has no parameters.
    if (!request.parametersByName || typeof request.callback !== 'function') return
    madeIn.set(request, [store.getStore()])
    const transaction = current()
    const parameters = (payload && payload.parameters) || []
    const statement = parameters.find(({ name }) => name === 'statement' || name === 'stmt')
    const text = String(statement ? statement.value : request.sqlTextOrProcedure)
    const prepares = payload && (payload.procedure === PREPARE || payload.procedure === 'sp_prepare')
    const span = transaction && new Span('tedious', prepares ? 'SQL (prepare)' : 'SQL', transaction)
    // The same request may be made again, once it is prepared.
    const { callback } = request
    const told = answering(callback, error => {
      request.callback = callback
      if (span) endTedious(span, connection, text, error)
    })
    request.callback = told
  })
}

function tediousRequest (exports) {
  patch((exports.default || exports).prototype, 'emit', original => function () {
    const [context] = (active && settings.context && madeIn.get(this)) || []
    const emit = () => Reflect.apply(original, this, arguments)
    return context === undefined ? emit() : store.run(context, emit)
  })
}

function endTedious (span, { config, socket }, text, error) {
  const { server, authentication, options } = config
  span.end(error !== undefined, error, [
    ATTRIBUTE['db.system.name'], 'mssql',
    ATTRIBUTE['db.query.text'], text,
    ATTRIBUTE['db.namespace'], options.database,
    ATTRIBUTE['db.user'], authentication && authentication.options && authentication.options.userName,
    ATTRIBUTE['server.address'], server,
    ATTRIBUTE['server.port'], options.port,
    ATTRIBUTE['network.local.port'], portOf(socket)
  ])
}
