// Calls by HTTP/2. The wire shows nothing of them.

// Notes on streams: their span.
const calledBy = notes()

function callHttp2 () {
  const http2 = builtin('http2')
  // Neither class is exported. A session whose socket never connects does nothing.
  const socket = Object.assign(new (builtin('net').Socket)(), { connecting: true })
  const session = http2.connect('http://localhost', { createConnection: () => socket })
  const prototype = Object.getPrototypeOf(session)
  session.destroy()
  hook(prototype, 'request', (session, args) => {
    const span = spanOf('http2', 'GET')
    if (span === undefined) return
    const [headers] = args
    const ours = carried(span.transaction, span.id)
    if (Array.isArray(headers)) {
      if (headerIn(headers, 'traceparent') === undefined) args[0] = headers.concat(ours)
    } else if (!headers || headers.traceparent === undefined) {
      args[0] = { ...headers }
      for (let i = 0; i < ours.length; i += 2) args[0][ours[i]] = ours[i + 1]
    }
    return span
  }, follow)
}

let isFollowed = false

function follow (span, stream) {
  const sent = stream.sentHeaders
  if (isOwn(span)) span.name = sent[':method']
  span.url = `${sent[':scheme']}://${sent[':authority']}${sent[':path']}`
  calledBy.set(stream, span)
  if (!isFollowed) {
    isFollowed = true
    undo.push(() => { isFollowed = false })
    patch(Object.getPrototypeOf(stream), 'emit', original => function (event, first) {
      if (active) {
        try { proceed(this, event, first) } catch (error) { bug(error) }
      }
      return Reflect.apply(original, this, arguments)
    })
  }
  return stream
}

function proceed (stream, event, first) {
  const span = calledBy.get(stream)
  if (!span || span.over) return
  if (event === 'response') {
    span.status = first[':status']
    span.port = portOf(stream.session && stream.session.socket)
  } else if (event === 'error') {
    endCall(span, first)
  } else if (event === 'end' || event === 'close') {
    endCall(span)
  }
}
