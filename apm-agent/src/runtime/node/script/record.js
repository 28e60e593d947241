// The way out: records are put together in one buffer, and the buffer is written to /dev/null, where the agent's kernel
// program copies it. Such a write cannot block, fail or wake anybody, and what was written is out even if the process
// ends in the same turn. `record.rs` reads what is written here.

const { openSync, closeSync, fstatSync, writeSync } = builtin('fs')

const FORMAT = 1
const CAPACITY = 16384
const HEAD = 16

// Longest texts, in bytes of UTF-8. The longest record there can be fits into an empty buffer.
const SHORT = 256
const LONG = 10240

const buffer = Buffer.allocUnsafeSlow(CAPACITY)
const view = new DataView(buffer.buffer, buffer.byteOffset, CAPACITY)
let position = HEAD
let begun = 0
let records = 0
let numbered = 0

// CLOCK_MONOTONIC in nanoseconds, at the moment `clock` gave 0.
const { performance } = builtin('perf_hooks')
const clock = performance.now.bind(performance)
const origin = Number(process.hrtime.bigint()) - clock() * 1e6
function now () { return origin + clock() * 1e6 }

let fd = -1
let device
let timer

function openChannel () {
  // Threads share descriptors, and the agent knows only one of ours.
  if (settings.fd === undefined) {
    fd = openSync(settings.output || '/dev/null', settings.output ? 'a' : 'r+')
    undo.push(closeChannel)
  } else {
    fd = settings.fd
  }
  const { dev, ino } = fstatSync(fd)
  device = { dev, ino }
  buffer.write('APMN', 0, 'latin1')
  buffer[4] = FORMAT
  buffer[5] = 0
  buffer.writeUInt32LE(builtin('worker_threads').threadId, 12)
  timer = setTimeout(flush, settings.flush_ms).unref()
  undo.push(() => clearTimeout(timer))
}

function closeChannel () {
  const ours = fd
  fd = -1
  const close = () => { if (isOurs(ours)) closeSync(ours) }
  if (workers.size > 0) setTimeout(close, FAREWELL).unref()
  else close()
}

// The application may have closed every descriptor it does not know, and have got our number for a file of its own.
function isOurs (descriptor) {
  try {
    const { dev, ino } = fstatSync(descriptor)
    return dev === device.dev && ino === device.ino
  } catch {
    return false
  }
}

function flush () {
  if (position === HEAD || fd < 0) return
  buffer.writeUInt16LE(position - HEAD, 6)
  buffer.writeUInt32LE(numbered >>> 0, 8)
  const length = position
  // Numbered even if they cannot be written: the reader counts what is missing.
  numbered += records
  position = HEAD
  records = 0
  try {
    if (isOurs(fd)) writeSync(fd, buffer, 0, length)
    else setImmediate(detach)
  } catch (error) {
    bug(error)
  }
}

// Begins a record that takes at most `bytes`.
function begin (kind, bytes) {
  if (position + bytes + 3 > CAPACITY) flush()
  // A timer that fires only when there is something to write does not wake a process that rests.
  if (position === HEAD) timer.refresh()
  begun = position
  buffer[begun + 2] = kind
  position = begun + 3
}

function end () {
  view.setUint16(begun, position - begun - 2, true)
  records++
}

// What the compiler turns into stores. Functions of buffers that are not written in JavaScript cost more than a record.
function putByte (value) { view.setUint8(position, value); position++ }
function putShort (value) { view.setUint16(position, value, true); position += 2 }
function putInt (value) { view.setUint32(position, value, true); position += 4 }
function putNumber (value) { view.setFloat64(position, value, true); position += 8 }
function putTime (value) { putNumber(value) }

// An id's eight bytes; undefined becomes zeros, which are no id.
function putId (id) {
  view.setInt32(position, id ? id.high : 0)
  view.setInt32(position + 4, id ? id.low : 0)
  position += 8
}

// The sixteen bytes of a transaction's trace, zeros without one.
function putTrace (transaction) {
  putId(transaction && transaction.traceHigh)
  putId(transaction && transaction.traceLow)
}

function putText (text, most = SHORT) {
  const written = text ? encode(text, Math.min(most, CAPACITY - position - 2)) : 0
  view.setUint16(position, written, true)
  position += 2 + written
}

// Characters up to which a text is looked at one by one.
const BRIEF = 64

// Writes a text where its bytes belong, and gives their number.
function encode (text, most) {
  const { length } = text
  const from = position + 2
  if (length <= BRIEF && length <= most) {
    let at = 0
    for (; at < length; at++) {
      const code = text.charCodeAt(at)
      if (code > 0x7f) break
      buffer[from + at] = code
    }
    if (at === length) return length
  }
  // Whole characters only: `write` cuts between them.
  return buffer.write(text, from, most, 'utf8')
}

// Most bytes `putText` takes for a text.
function room (text, most = SHORT) { return 2 + (text ? Math.min(text.length * 3, most) : 0) }
