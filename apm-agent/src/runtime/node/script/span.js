// Calls the application makes.

const SPAN = 2

// Flags of a span's record.
const FAILED = 1
const UNRECORDED = 2
const RECEIVED = 4

class Span {
  // `library` says who made it; `transaction` is where it belongs.
  constructor (library, name, transaction) {
    this.library = library
    this.name = name
    this.transaction = transaction
    this.id = newId()
    this.began = now()
    this.over = false
  }

  // It ended, with an error or well. `attributes`: codes of `ATTRIBUTES` and values, one after the other; undefined
  // ones are left out. An error is reported ahead of the span it happened in.
  end (failed, error, attributes) {
    if (this.over) return
    this.over = true
    const transaction = this.transaction
    if (!active) return
    const over = now()
    if (!transaction.sampled) attributes = connectionOf(attributes)
    else if (error) tellError(error, true, transaction, this.id, over)
    tellSpan(this, transaction, transaction.id, failed ? FAILED : 0, over, attributes)
  }
}

// Messages were received: a transaction is told as a span whose parent, if there is one, is elsewhere.
function tellReceived (transaction, library, name, failed, attributes) {
  const { id, began, parent } = transaction
  endAnswered(transaction)
  transaction.ended = now()
  if (!active) return
  tellSpan({ library, name, id, began }, transaction, parent, failed ? FAILED | RECEIVED : RECEIVED, transaction.ended, attributes)
}

function tellSpan ({ library, name, id, began }, transaction, parent, flags, over, attributes) {
  let bytes = 80 + room(library) + room(name)
  let count = 0
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i + 1] === undefined || attributes[i + 1] === null) continue
    const text = attributes[i + 1] = String(attributes[i + 1])
    bytes += 1 + room(text, mostOf(attributes[i]))
    count++
  }
  begin(SPAN, bytes)
  putTime(over)
  putTime(began)
  putTrace(transaction)
  putId(id)
  putId(parent)
  putByte(transaction.sampled ? flags : flags | UNRECORDED)
  putText(library)
  putText(name)
  putByte(count)
  for (let i = 0; i < attributes.length; i += 2) {
    if (attributes[i + 1] === undefined || attributes[i + 1] === null) continue
    putByte(attributes[i])
    putText(attributes[i + 1], mostOf(attributes[i]))
  }
  end()
}

// Of a call that is not recorded only which one on the wire it is.
function connectionOf (attributes) {
  const at = attributes.indexOf(ATTRIBUTE['network.local.port'])
  return at % 2 === 0 ? attributes.slice(at, at + 2) : []
}

// One attribute of a span may be long.
function mostOf (attribute) {
  return attribute === ATTRIBUTE['db.query.text'] || attribute === ATTRIBUTE['url.full'] ? LONG : SHORT
}

// The attributes' codes by their names. A name that is not in the list is a mistake of ours.
const ATTRIBUTE = Object.fromEntries(settings.attributes.map((name, code) => [name, code]))

// Local port of a socket, to tell which connection on the wire it is.
function portOf (socket) { return socket ? socket.localPort : undefined }

// A promise that ends the span; a rejection that nobody handles stays one.
function settle (promise, end) {
  return promise.then(
    value => { end(); return value },
    error => { end(error || new Error('rejected')); throw error })
}
