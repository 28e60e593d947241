// Calls by `http.request` and all that is built on it. A request's head is rendered in the context that makes the call,
// whatever module the function was taken from and in whatever form the headers are given.

// Notes on requests: their span.
const calls = notes()

function callHttp () {
  const { prototype } = http.ClientRequest
  hook(prototype, '_storeHeader', (request, args) => {
    const span = calls.get(request) ? undefined : spanOf('http', request.method)
    if (span === undefined) return
    const host = textOf(request.getHeader('host')) || headerIn(args[1], 'host') || request.host
    span.url = `${request.protocol}//${host}${request.path}`
    calls.set(request, span)
    carry(request, args, carried(span.transaction, span.id))
  })
  patch(prototype, 'emit', original => function (event, first) {
    if (active) {
      try { progress(this, event, first) } catch (error) { bug(error) }
    }
    return Reflect.apply(original, this, arguments)
  })
}

// The span of a call that is about to be made: one of its own, or that of the library which makes it for its own.
function spanOf (library, method) {
  const transaction = current()
  return transaction ? new Span(library, method, transaction) : covering()
}

// It is of this library, not of one that covers it.
function isOwn (span) { return span.library === 'http' || span.library === 'undici' || span.library === 'http2' }

function textOf (header) { return header === undefined ? undefined : String(header) }

// A header among those that are given as an array: flat, or of pairs.
function headerIn (headers, wanted) {
  if (!Array.isArray(headers)) return undefined
  const flat = headers.flat()
  const at = flat.findIndex((name, index) => index % 2 === 0 && String(name).toLowerCase() === wanted)
  return at < 0 ? undefined : flat[at + 1]
}

// Adds headers to a request whose head is about to be rendered. Those the application sends itself stay as they are,
// and then none of ours is added: they would not fit together.
function carry (request, args, headers) {
  const given = args[1]
  if (request.hasHeader('traceparent') || headerIn(given, 'traceparent') !== undefined) return
  if (Array.isArray(given)) {
    const pairs = []
    for (let i = 0; i < headers.length; i += 2) pairs.push([headers[i], headers[i + 1]])
    args[1] = given.concat(Array.isArray(given[0]) ? pairs : headers)
    return
  }
  if (!given) {
    args[1] = {}
    for (let i = 0; i < headers.length; i += 2) args[1][headers[i]] = headers[i + 1]
    return
  }
  // It is the request's own list of headers, which it renders from.
  for (let i = 0; i < headers.length; i += 2) {
    if (!request.hasHeader(headers[i])) request.setHeader(headers[i], headers[i + 1])
  }
}

function progress (request, event, first) {
  const span = calls.get(request)
  if (!span || span.over) return
  if (event === 'response' || event === 'upgrade' || event === 'connect') {
    span.status = first && first.statusCode
    span.port = portOf(request.socket)
    if (event === 'response') isAnswered(span, first)
    else endCall(span)
  } else if (event === 'error') {
    endCall(span, first)
  } else if (event === 'close') {
    endCall(span)
  }
}

// A connection that is not kept says that its request is over when it is closed itself, when whoever asked may be through
// with the answer.
function isAnswered (span, answer) {
  const { transaction } = span
  if (!isOwn(span) || transaction.ended !== 0) return
  span.answer = answer
  // What is over is let go, so that there are never more than were open at once.
  while (transaction.answers && transaction.answers.over) transaction.answers = transaction.answers.earlier
  span.earlier = transaction.answers
  transaction.answers = span
}

// Ends the calls of a transaction that ends, whose answers are complete.
function endAnswered (transaction) {
  for (let span = transaction.answers; span; span = span.earlier) {
    if (!span.over && span.answer.complete) endCall(span)
  }
  transaction.answers = undefined
}

function endCall (span, error) {
  if (!isOwn(span)) return
  const failed = error !== undefined || span.status === undefined || span.status >= 400
  span.end(failed, error, [
    ATTRIBUTE['http.request.method'], span.name,
    ATTRIBUTE['url.full'], span.url,
    ATTRIBUTE['http.response.status_code'], span.status,
    ATTRIBUTE['network.local.port'], span.port
  ])
}
