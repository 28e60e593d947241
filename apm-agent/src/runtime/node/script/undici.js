// `fetch`, and undici from the registry: all copies of it publish to the same channels.

// Notes on requests: their span. A weak map would cost twenty times as much for each.
const fetched = notes()

function callUndici () {
  subscribe('undici:request:create', ({ request }) => {
    const span = spanOf('undici', request.method)
    if (span === undefined) return
    span.url = `${request.origin}${request.path}`
    fetched.set(request, span)
    if (!sendsTraceparent(request.headers)) {
      const headers = carried(span.transaction, span.id)
      for (let i = 0; i < headers.length; i += 2) request.addHeader(headers[i], headers[i + 1])
    }
  })
  subscribe('undici:client:sendHeaders', ({ request, socket }) => {
    const span = fetched.get(request)
    if (span) span.port = portOf(socket)
  })
  subscribe('undici:request:headers', ({ request, response }) => {
    const span = fetched.get(request)
    if (span) span.status = response.statusCode
  })
  subscribe('undici:request:trailers', ({ request }) => {
    const span = fetched.get(request)
    if (span) endCall(span)
  })
  subscribe('undici:request:error', ({ request, error }) => {
    const span = fetched.get(request)
    if (span) endCall(span, error)
  })
}

// Headers are a text in undici 5, names and values one after the other since.
function sendsTraceparent (headers) {
  if (typeof headers === 'string') return /^traceparent:/im.test(headers)
  return headerIn(headers, 'traceparent') !== undefined
}
