'use strict'
// A small MongoDB made for the tests: OP_MSG with one body (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>),
// and what commands the scenario needs. It keeps nothing.

const net = require('net')

const OP_REPLY = 1
const OP_QUERY = 2004
const OP_MSG = 2013

const GREETING = {
  ok: 1,
  helloOk: true,
  isWritablePrimary: true,
  ismaster: true,
  maxBsonObjectSize: 16777216,
  maxMessageSizeBytes: 48000000,
  maxWriteBatchSize: 100000,
  minWireVersion: 0,
  maxWireVersion: 21,
  readOnly: false
}

function answer (command, Long) {
  const [name] = Object.keys(command)
  const cursor = batch => ({ ok: 1, cursor: { ns: `${command.$db}.${command[name]}`, ...batch } })
  switch (name) {
    case 'hello': case 'ismaster': case 'isMaster': return GREETING
    case 'find': return command.limit === 1 || !command.batchSize ? cursor({ id: Long.fromNumber(0), firstBatch: [{ _id: 1 }] }) : cursor({ id: Long.fromNumber(7), firstBatch: [{ _id: 1 }] })
    case 'getMore': return { ok: 1, cursor: { id: Long.fromNumber(0), ns: `${command.$db}.${command.collection}`, nextBatch: [{ _id: 2 }] } }
    case 'insert': case 'ping': case 'endSessions': case 'killCursors': return { ok: 1, n: 1 }
    default: return { ok: 0, code: 59, codeName: 'CommandNotFound', errmsg: `no such command: '${name}'` }
  }
}

module.exports = ({ serialize, deserialize, Long }) => net.createServer(socket => {
  let bytes = Buffer.alloc(0)
  socket.on('error', () => {}).on('data', data => {
    bytes = Buffer.concat([bytes, data])
    while (bytes.length >= 16 && bytes.length >= bytes.readInt32LE(0)) {
      const length = bytes.readInt32LE(0)
      socket.write(reply(bytes.subarray(0, length)))
      bytes = bytes.subarray(length)
    }
  })

  function reply (message) {
    const [id, operation] = [message.readInt32LE(4), message.readInt32LE(12)]
    const head = Buffer.alloc(16)
    head.writeInt32LE(id, 8)
    let body
    if (operation === OP_MSG) {
      // Flags, the kind of the first section, and its document.
      const size = message.readInt32LE(21)
      body = [Buffer.alloc(5), serialize(answer(deserialize(message.subarray(21, 21 + size)), Long))]
      head.writeInt32LE(OP_MSG, 12)
    } else if (operation === OP_QUERY) {
      const fields = Buffer.alloc(20)
      fields.writeInt32LE(1, 16)
      body = [fields, serialize(GREETING)]
      head.writeInt32LE(OP_REPLY, 12)
    }
    const whole = Buffer.concat([head, ...body])
    whole.writeInt32LE(whole.length, 0)
    return whole
  }
})
