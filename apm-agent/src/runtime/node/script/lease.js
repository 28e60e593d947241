// We stay as long as the agent does: it holds the other end of a connection, and when that closes, whatever the reason,
// everything is undone. Lines of text on it are commands.

let lease

function holdLease () {
  if (!settings.lease_port) return
  outside(() => {
    const socket = builtin('net').connect({ port: settings.lease_port, host: '127.0.0.1' })
    lease = socket
    let line = ''
    socket.unref()
    socket.on('error', () => {})
    // Of an agent that another has taken over from us nothing is to be heard any more.
    socket.on('close', () => { if (lease === socket) detach() })
    socket.on('data', bytes => {
      if (lease !== socket) return
      const lines = (line + bytes.toString('latin1')).split('\n')
      line = lines.pop().slice(0, 100)
      for (const command of lines) obey(command.trim())
    })
  })
}

function endLease () {
  const socket = lease
  lease = undefined
  if (socket) socket.destroy()
}

function obey (command) {
  if (command === 'flush') flush()
  else if (command === 'detach') detach()
}
