// ws: messages that are sent.

libraries.push({
  name: 'ws',
  versions: [7, 8],
  files: { 'lib/websocket.js': wsSocket },
  classes: [{ method: 'send', like: 'setSocket', change: wsSocket }]
})

function wsSocket ({ prototype }) {
  hook(prototype, 'send', (socket, args) => {
    const transaction = current()
    // It throws.
    if (transaction === undefined || socket.readyState === 0) return
    const span = new Span('ws', 'Send WebSocket Message', transaction)
    const last = args.length - 1
    const over = error => span.end(error !== undefined, error, [])
    if (last > 0 && typeof args[last] === 'function') args[last] = answering(args[last], over)
    else args.push(answering(() => {}, over))
  })
}
