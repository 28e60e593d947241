// Requests that are served. `emit` is looked up on the prototype at each call, so that servers and connections that
// exist already are reached, too.

const http = builtin('http')
const https = builtin('https')

const REQUEST = 1

// Flags of a request's record.
const SAMPLED = 1
const FACTS = 2
const OPERATION = 4

// Notes on requests and their responses: the transaction.
const transactions = notes()

// Notes on connections seen from their beginning: which it is, and the requests on it so far.
const connections = notes()
let connected = 0

// Other events of requests that arrive.
const ARRIVALS = new Set(['checkContinue', 'checkExpectation', 'upgrade'])

function serveHttp () {
  for (const { prototype } of [http.Server, https.Server]) {
    patch(prototype, 'emit', original => function (event, first, second) {
      if (!active) return Reflect.apply(original, this, arguments)
      let transaction
      try {
        if (event === 'request') {
          transaction = receive(first, second)
        } else if (ARRIVALS.has(event)) {
          count(first)
        } else if (event === 'connection') {
          connections.set(first, { number: ++connected, requests: 0 })
        }
      } catch (error) {
        bug(error)
      }
      if (transaction === undefined) return Reflect.apply(original, this, arguments)
      return applyIn(transaction, original, this, arguments)
    })
  }
  patch(http.ServerResponse.prototype, 'emit', original => function (event) {
    if (active && (event === 'finish' || event === 'close')) {
      try { answered(this) } catch (error) { bug(error) }
    }
    return Reflect.apply(original, this, arguments)
  })
}

// Notes on requests that are no transactions yet, with their number: one that is refused or goes to an upgrade counts as
// well, and may be emitted as a request after that.
const counted = notes()

function count (request) {
  if (counted.get(request) || transactions.get(request)) return
  const connection = connections.get(request.socket)
  if (connection) counted.set(request, { number: connection.requests++ })
}

// The transaction of a request, unless it has one: an application may emit a request again on another server.
function receive (request, response) {
  if (transactions.get(request)) return undefined
  const transaction = new Transaction(request.headers)
  const { socket } = request
  transaction.request = request
  transaction.response = response
  const connection = connections.get(socket)
  if (connection) {
    const already = counted.get(request)
    transaction.connection = connection.number
    transaction.number = already ? already.number : connection.requests++
  }
  transaction.hidden = settings.all_facts || socket.encrypted === true || request.httpVersionMajor > 1
  transaction.port = socket.remotePort
  transaction.peer = transaction.hidden ? socket.remoteAddress : undefined
  transactions.set(request, transaction)
  // It knows its request, and a note would make it another kind of object for what is compiled already.
  if (response.req !== request) transactions.set(response, transaction)
  return transaction
}

function transactionOf (response) {
  const { req } = response
  const transaction = typeof req === 'object' && req !== null ? transactions.get(req) : undefined
  return transaction && transaction.response === response ? transaction : transactions.get(response)
}

function answered (response) {
  const transaction = transactionOf(response)
  if (!transaction || transaction.ended !== 0 || !transaction.request) return
  const { request } = transaction
  tellRequest(transaction, transaction.hidden ? () => factsOf(transaction, request, response) : undefined)
}

// The route as frameworks name it; some know it only when the request is over.
function routeOf (transaction) {
  const { route, routed } = transaction
  return String(route || (routed && routed(transaction)) || '')
}

// `facts` gives what the wire does not show.
function tellRequest (transaction, facts) {
  endAnswered(transaction)
  transaction.ended = now()
  const { operation } = transaction
  const route = operation || routeOf(transaction)
  const shown = facts && transaction.sampled ? within(facts()) : undefined
  begin(REQUEST, 80 + room(route) + (shown ? shown.bytes : 0))
  putTime(transaction.ended)
  putTime(transaction.began)
  putTrace(transaction)
  putId(transaction.id)
  putId(transaction.parent)
  putByte((transaction.sampled ? SAMPLED : 0) | (shown ? FACTS : 0) | (operation ? OPERATION : 0))
  putShort(transaction.port)
  putInt(transaction.connection)
  putInt(transaction.number)
  putText(route)
  if (shown) putFacts(shown)
  end()
  // What was left running holds the transaction, and need not hold the request.
  transaction.request = transaction.response = transaction.routed = undefined
}

function factsOf ({ peer }, request, response) {
  return {
    texts: [request.method, request.socket.encrypted ? 'https' : 'http', 'HTTP/' + request.httpVersion, peer],
    target: request.originalUrl || request.url,
    headers: request.rawHeaders,
    status: response.headersSent ? response.statusCode : 0
  }
}

// The target may be long, the headers have what room is left.
const TARGET = 4096
const VALUE = 1024
const HEADERS = 8192

// The facts with as many headers as there is room for, names and values one after the other.
function within (facts) {
  const headers = []
  let bytes = 0
  for (let i = 0; settings.capture_headers && i + 1 < facts.headers.length && headers.length < 510; i += 2) {
    const [name, value] = [facts.headers[i], facts.headers[i + 1]]
    bytes += room(name) + room(value, VALUE)
    if (bytes > HEADERS) break
    headers.push(name, value)
  }
  return { ...facts, headers, bytes: HEADERS + room(facts.target, TARGET) + 4 * (SHORT + 2) + 16 }
}

function putFacts ({ texts, target, headers, status }) {
  for (const text of texts) putText(text)
  putText(target, TARGET)
  putShort(status)
  putByte(headers.length / 2)
  for (let i = 0; i < headers.length; i += 2) {
    putText(headers[i])
    putText(headers[i + 1], VALUE)
  }
}
