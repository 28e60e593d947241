// Which request the code that runs now works for, and ids.

const { AsyncLocalStorage } = builtin('async_hooks')
const { randomFillSync } = builtin('crypto')

// Holds the transaction. Costs some 90 ns per `await` before Node 24, so that it can be switched off.
const store = new AsyncLocalStorage()

// What a request leaves running after its response still belongs to it; what runs for longer, such as an interval that
// was started in it, does not.
const LINGER = 10e9

function run (transaction, work) {
  return settings.context ? store.run(transaction, work) : work()
}

// Runs our own work: what it leaves running belongs to no request.
function outside (work) { return store.exit(work) }

// In the place of a transaction: a span whose library makes calls by others. They are not told, and carry its id.
class Cover {
  constructor (span) { this.span = span }
}

function cover (span, work) { return run(new Cover(span), work) }

// Requests that began before this moment are not told of further: a library was met that would have to have been watched
// since.
let certainFrom = 0

// What runs now works for this.
function held () { return settings.context ? store.getStore() : undefined }

// The span that covers what runs now. One that is over covers nothing: what its library has left, such as a body that is
// read later, is the application's.
function covering () {
  const cover = held()
  return cover instanceof Cover && !cover.span.over ? cover.span : undefined
}

// What an error that nobody catches belongs to.
function concerned () {
  const transaction = store.getStore()
  return transaction instanceof Cover ? transaction.span.transaction : transaction
}

// The transaction a span would belong to.
function current () {
  const transaction = held()
  // Under a span that is over it is the application's again.
  if (transaction instanceof Cover) return transaction.span.over ? lasting(transaction.span.transaction) : undefined
  return transaction && lasting(transaction)
}

function lasting (transaction) {
  if (transaction.began < certainFrom) return undefined
  return transaction.ended === 0 || now() - transaction.ended < LINGER ? transaction : undefined
}

// The function, run in the context of now: where it will be called is somebody else's.
function bind (callback) {
  if (!settings.context) return callback
  const context = held()
  return function () { return applyIn(context, callback, this, arguments) }
}

function applyIn (context, callback, self, args) {
  if (!active || !settings.context) return Reflect.apply(callback, self, args)
  return store.run(context, Reflect.apply, callback, self, args)
}

// Eight bytes of an id, as two signed numbers, which V8 keeps where it would keep pointers. Only what calls carry is
// ever wanted as text.
class Id {
  constructor (high, low) {
    this.high = high
    this.low = low
  }

  // Of sixteen hexadecimal digits.
  static of (text) { return new Id(parseInt(text.slice(0, 8), 16) | 0, parseInt(text.slice(8), 16) | 0) }

  toString () { return digits(this.high) + digits(this.low) }
}

function digits (number) { return (number >>> 0).toString(16).padStart(8, '0') }

const random = new Int32Array(1024)
let used = random.length

function newId () {
  if (used === random.length) {
    randomFillSync(random)
    used = 0
  }
  const high = random[used++]
  const low = random[used++]
  // All zeros would be no id.
  return high === 0 && low === 0 ? newId() : new Id(high, low)
}

// Version 00 is this and no more, later versions may go on after a dash. Two headers are joined by a comma, and none.
const TRACEPARENT = /^[\t ]*(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-[^,]*)?[\t ]*$/

// `[trace, parent, sampled]` of a `traceparent`; undefined when it is not valid.
function readTraceparent (text) {
  const parts = typeof text === 'string' ? TRACEPARENT.exec(text) : null
  if (!parts || (parts[1] === '00' && parts[5] !== undefined)) return undefined
  return [parts[2], parts[3], (parseInt(parts[4], 16) & 1) === 1]
}

// The longest `tracestate` that is passed on.
const TRACESTATE = 1024

// A request that is served.
class Transaction {
  constructor (headers) {
    const parent = readTraceparent(headers.traceparent) || readTraceparent(headers['elastic-apm-traceparent'])
    if (parent) {
      const [trace, span, sampled] = parent
      this.traceHigh = Id.of(trace.slice(0, 16))
      this.traceLow = Id.of(trace.slice(16))
      this.parent = Id.of(span)
      this.sampled = sampled
      const state = headers.tracestate
      this.state = typeof state === 'string' && state.length <= TRACESTATE && state.trim() ? state : undefined
    } else {
      this.traceHigh = newId()
      this.traceLow = newId()
      this.parent = undefined
      this.sampled = settings.sample_rate >= 1 || Math.random() < settings.sample_rate
      this.state = this.sampled ? settings.tracestate : 'es=s:0'
    }
    this.id = newId()
    this.began = now()
    this.ended = 0
    // Of a request by HTTP/1: itself and its response, its connection and its number on it, the peer, and whether the
    // wire does not show it.
    this.request = undefined
    this.response = undefined
    this.connection = 0
    this.number = 0
    this.port = undefined
    this.peer = undefined
    this.hidden = false
    // What frameworks say of its name: a route, a function that finds one in the end, and Express' mounts on the way.
    this.route = undefined
    this.routed = undefined
    this.mounts = undefined
    // GraphQL is served to it, and the operation that it asks for.
    this.servesGraphql = false
    this.operation = undefined
    // Its calls by HTTP that are being answered, the last first.
    this.answers = undefined
  }

  // The `traceparent` for a call whose span has this id.
  traceparent (id) {
    return `00-${this.traceHigh}${this.traceLow}-${this.sampled ? id : this.id}-${this.sampled ? '01' : '00'}`
  }
}

// What a call carries, as names and values one after the other.
function carried (transaction, id) {
  const parent = transaction.traceparent(id)
  const headers = ['traceparent', parent]
  if (settings.elastic_header) headers.push('elastic-apm-traceparent', parent)
  if (transaction.state) headers.push('tracestate', transaction.state)
  return headers
}
