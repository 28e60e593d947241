// Fastify 4 and 5: its router says which route it is, its replies which errors.

libraries.push(
  { name: 'fastify', package: 'find-my-way', versions: [7, 9], files: { 'index.js': fastifyRouter }, classes: [{ method: 'lookup', like: 'prettyPrint', change: fastifyRouter }] },
  { name: 'fastify', versions: [4, 5], files: { 'lib/reply.js': fastifyReply }, classes: [{ method: 'send', like: 'callNotFound', change: fastifyReply }] })

function fastifyRouter ({ prototype }) {
  hook(prototype, 'find', () => true, (_, found) => {
    const url = found && found.store && found.store.config && found.store.config.url
    const transaction = typeof url === 'string' ? current() : undefined
    if (transaction) transaction.route = url
    return found
  })
}

function fastifyReply ({ prototype }) {
  hook(prototype, 'send', (reply, [payload]) => {
    if (payload instanceof Error) tellError(payload, true, current())
  })
}
