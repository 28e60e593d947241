// ioredis: one command after the other, pipelines, and those it makes by itself.

libraries.push({
  name: 'ioredis',
  versions: [4, 6],
  files: {
    'built/Redis.js': ioredisClient,
    'built/redis/index.js': ioredisClient,
    'built/Pipeline.js': ioredisPipeline,
    'built/pipeline.js': ioredisPipeline
  },
  classes: [
    { method: 'sendCommand', like: 'flushQueue', change: ioredisClient },
    { method: 'sendCommand', like: 'fillResult', change: ioredisPipeline }
  ]
})

// Notes on commands: the transaction in which they were put into a pipeline, which somebody else may send.
const queuedIn = notes()

// Notes on commands that were sent: they are sent again when the connection is made anew.
const sent = notes()

function ioredisPipeline (exports) {
  hook((exports.default || exports).prototype, 'sendCommand', (pipeline, [command]) => {
    if (!queuedIn.get(command)) queuedIn.set(command, [current()])
  })
}

function ioredisClient (exports) {
  hook((exports.default || exports).prototype, 'sendCommand', (client, [command]) => {
    if (sent.get(command)) return
    const [transaction] = queuedIn.get(command) || [current()]
    if (transaction === undefined || typeof command.resolve !== 'function') return
    sent.set(command, true)
    const name = String(command.name).toUpperCase()
    const span = new Span('ioredis', name, transaction)
    const { resolve, reject } = command
    command.resolve = value => {
      endIoredis(span, client)
      return resolve(value)
    }
    command.reject = error => {
      endIoredis(span, client, error)
      return reject(error)
    }
  })
}

function endIoredis (span, { options, stream }, error) {
  endRedis(span, options.path ? { host: options.path } : options, stream, error)
}

function endRedis (span, { host, port }, stream, error) {
  try {
    span.end(error !== undefined, error, [
      ATTRIBUTE['db.system.name'], 'redis',
      ATTRIBUTE['db.operation.name'], span.name,
      ATTRIBUTE['server.address'], host,
      ATTRIBUTE['server.port'], port,
      ATTRIBUTE['network.local.port'], portOf(stream)
    ])
  } catch (failure) {
    bug(failure)
  }
}
