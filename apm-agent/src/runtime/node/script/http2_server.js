// Requests served by HTTP/2. The wire shows nothing of them, so that all is told.

// Notes on streams: their transaction, for a framework gets a request that is made around the stream.
const streams = notes()

function serveHttp2 () {
  const http2 = builtin('http2')
  // The classes are not exported, and servers that do not listen cost nothing.
  for (const server of [http2.createServer(), http2.createSecureServer()]) {
    patch(Object.getPrototypeOf(server), 'emit', original => function (event, first, second, third, fourth) {
      if (!active) return Reflect.apply(original, this, arguments)
      let transaction
      try {
        if (event === 'stream') transaction = receiveStream(first, second, fourth)
        else if (event === 'request') transaction = adoptStream(first, second)
      } catch (error) {
        bug(error)
      }
      if (transaction === undefined) return Reflect.apply(original, this, arguments)
      return applyIn(transaction, original, this, arguments)
    })
  }
}

function receiveStream (stream, headers, rawHeaders) {
  const { socket } = stream.session
  const transaction = new Transaction(headers)
  transaction.port = socket.remotePort
  const peer = socket.remoteAddress
  streams.set(stream, transaction)
  stream.once('close', () => {
    if (!active || transaction.ended !== 0) return
    try {
      tellRequest(transaction, () => streamFacts(stream, headers, rawHeaders || [], peer))
    } catch (error) {
      bug(error)
    }
  })
  return transaction
}

// What a framework gets is made around the stream; but a secure server may serve HTTP/1 as well.
function adoptStream (request, response) {
  if (request instanceof http.IncomingMessage) return receive(request, response)
  const transaction = streams.get(request.stream)
  if (transaction && !transactions.get(request)) {
    transactions.set(request, transaction)
    transactions.set(response, transaction)
  }
}

function streamFacts (stream, headers, rawHeaders, peer) {
  const own = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (!rawHeaders[i].startsWith(':')) own.push(rawHeaders[i], rawHeaders[i + 1])
  }
  // The host of HTTP/1 is the authority of HTTP/2.
  if (headers[':authority'] && !headers.host) own.push('Host', headers[':authority'])
  return {
    texts: [headers[':method'], headers[':scheme'], 'HTTP/2.0', peer],
    target: headers[':path'],
    headers: own,
    status: (stream.sentHeaders && stream.sentHeaders[':status']) || 0
  }
}
