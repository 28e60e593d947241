// Requests that are served. `emit` is looked up on the prototype at each call, so that servers and connections that
// exist already are reached, too.

const http = builtin('http')
const https = builtin('https')

const REQUEST = 1

// Flags of a request's record.
const SAMPLED = 1
const FACTS = 2

// Notes on requests and their responses: the transaction.
const transactions = notes()

// Notes on connections seen from their beginning: which it is, and the requests on it so far.
const connections = notes()
let connected = 0

const ARRIVALS = new Set(['request', 'checkContinue', 'checkExpectation', 'upgrade'])

function serveHttp () {
  for (const { prototype } of [http.Server, https.Server]) {
    patch(prototype, 'emit', original => function (event, first, second) {
      if (!active) return Reflect.apply(original, this, arguments)
      let transaction
      try {
        if (ARRIVALS.has(event)) {
          count(first)
          if (event === 'request') transaction = receive(first, second)
        } else if (event === 'connection') {
          connections.set(first, { number: ++connected, requests: 0 })
        }
      } catch (error) {
        bug(error)
      }
      if (transaction === undefined) return Reflect.apply(original, this, arguments)
      return run(transaction, () => Reflect.apply(original, this, arguments))
    })
  }
  patch(http.ServerResponse.prototype, 'emit', original => function (event) {
    if (active && (event === 'finish' || event === 'close')) {
      try { answered(this) } catch (error) { bug(error) }
    }
    return Reflect.apply(original, this, arguments)
  })
}

// Requests that were counted: one that is refused or goes to an upgrade counts as well, and may be emitted again.
const counted = notes()

function count (request) {
  if (counted.get(request)) return
  const connection = connections.get(request.socket)
  counted.set(request, connection ? [connection.number, connection.requests++] : [0, 0])
}

// The transaction of a request, unless it has one: an application may emit a request again on another server.
function receive (request, response) {
  if (transactions.get(request)) return undefined
  const transaction = new Transaction(request.headers)
  const { socket } = request
  transaction.request = request
  transaction.hidden = settings.all_facts || socket.encrypted === true || request.httpVersionMajor > 1
  transaction.port = socket.remotePort
  transaction.peer = transaction.hidden ? socket.remoteAddress : undefined
  transactions.set(request, transaction)
  transactions.set(response, transaction)
  return transaction
}

function answered (response) {
  const transaction = transactions.get(response)
  if (!transaction || transaction.ended !== 0) return
  transaction.ended = now()
  tellRequest(transaction, response)
  // What was left running holds the transaction, and need not hold the request.
  transaction.request = transaction.routed = undefined
}

// The route as frameworks name it; some know it only when the request is over.
function routeOf ({ route, routed }) {
  return String(route || (routed && routed()) || '')
}

function tellRequest (transaction, response) {
  const { request } = transaction
  const route = routeOf(transaction)
  const [connection, number] = counted.get(request)
  const facts = transaction.hidden && transaction.sampled ? factsOf(transaction, request, response) : undefined
  begin(REQUEST, 80 + room(route) + (facts ? facts.bytes : 0))
  putTime(transaction.ended)
  putTime(transaction.began)
  putId(transaction.trace, 16)
  putId(transaction.id, 8)
  putId(transaction.parent, 8)
  putByte((transaction.sampled ? SAMPLED : 0) | (facts ? FACTS : 0))
  putShort(transaction.port)
  putInt(connection)
  putInt(number)
  putText(route)
  if (facts) putFacts(facts)
  end()
}

// What the wire does not show of an encrypted request. The target may be long, the headers have what room is left.
const TARGET = 4096
const HEADERS = 8192

function factsOf (transaction, request, response) {
  const target = request.originalUrl || request.url
  const headers = []
  let bytes = 0
  for (let i = 0; settings.capture_headers && i + 1 < request.rawHeaders.length; i += 2) {
    const [name, value] = [request.rawHeaders[i], request.rawHeaders[i + 1]]
    bytes += room(name) + room(value, 1024)
    if (bytes > HEADERS || headers.length > 254) break
    headers.push(name, value)
  }
  return {
    texts: [
      request.method,
      request.socket.encrypted ? 'https' : 'http',
      'HTTP/' + request.httpVersion,
      transaction.peer
    ],
    target,
    headers,
    status: response.headersSent ? response.statusCode : 0,
    bytes: HEADERS + room(target, TARGET) + 4 * (SHORT + 2) + 16
  }
}

function putFacts ({ texts, target, headers, status }) {
  for (const text of texts) putText(text)
  putText(target, TARGET)
  putShort(status)
  putByte(headers.length / 2)
  for (let i = 0; i < headers.length; i += 2) {
    putText(headers[i])
    putText(headers[i + 1], 1024)
  }
}
