// node-redis: the queue of commands is where all of them pass, in the context of whoever asked for them.

libraries.push({
  name: 'redis',
  package: '@redis/client',
  versions: [1, 6],
  files: { 'dist/lib/client/commands-queue.js': redisQueue, 'dist/lib/client/index.js': redisClient },
  classes: [
    { method: 'addCommand', like: 'flushAll', change: redisQueue },
    { method: 'sendCommand', like: '_executePipeline', change: redisClient }
  ]
})

// The client that is putting a command into its queue right now; its queue does not know it. Before version 5 commands
// do not pass here.
let asking

function redisClient (exports) {
  const { prototype } = exports.default || exports
  for (const name of ['sendCommand', '_executeMulti', '_executePipeline']) {
    if (typeof prototype[name] !== 'function') continue
    patch(prototype, name, original => function () {
      const before = asking
      asking = this
      try { return Reflect.apply(original, this, arguments) } finally { asking = before }
    })
  }
}

function redisQueue (exports) {
  hook((exports.default || exports).prototype, 'addCommand', (queue, [words]) => {
    const transaction = current()
    if (transaction === undefined) return
    const span = new Span('redis', String(words[0]).toUpperCase(), transaction)
    const { options } = asking || {}
    const { host, path, port } = (options && options.socket) || {}
    const place = path ? { host: path } : asking ? { host: host || 'localhost', port: port || 6379 } : {}
    return error => endRedis(span, place, undefined, error)
  }, (over, result) => result && typeof result.then === 'function' ? settle(result, over) : result)
}
