'use strict'
// A small Cassandra made for the tests: version 4 of its native protocol
// (<https://cassandra.apache.org/doc/latest/cassandra/_attachments/native_protocol_v4.html>), and what the scenario asks.
// It keeps nothing.

const net = require('net')

const OPERATION = { ERROR: 0, STARTUP: 1, READY: 2, OPTIONS: 5, SUPPORTED: 6, QUERY: 7, RESULT: 8, PREPARE: 9, EXECUTE: 10, REGISTER: 11, BATCH: 13 }
const RESULT = { VOID: 1, ROWS: 2, KEYSPACE: 3, PREPARED: 4 }
const VARCHAR = 13
const SET = 34
const INVALID = 0x2200
const HAS_MORE_PAGES = 2
const WITH_PAGING_STATE = 8

const short = number => Buffer.from([number >> 8, number & 255])
const int = number => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(number); return bytes }
const string = text => Buffer.concat([short(Buffer.byteLength(text)), Buffer.from(text)])
const bytes = text => Buffer.concat([int(Buffer.byteLength(text)), Buffer.from(text)])

// Columns of one table, each a text or a set of texts.
function columns (row) {
  const each = Object.entries(row).map(([name, value]) => Buffer.concat([
    string('shop'), string('items'), string(name), Array.isArray(value) ? Buffer.concat([short(SET), short(VARCHAR)]) : short(VARCHAR)
  ]))
  return Buffer.concat(each)
}

function rows (row, more) {
  const values = Object.values(row).map(value => Array.isArray(value)
    ? bytes(Buffer.concat([int(value.length), ...value.map(bytes)]))
    : bytes(value))
  const head = [int(RESULT.ROWS), int(more ? HAS_MORE_PAGES : 0), int(Object.keys(row).length), more ? bytes('next') : Buffer.alloc(0)]
  return [OPERATION.RESULT, Buffer.concat([...head, columns(row), int(values.length ? 1 : 0), ...values])]
}

const LOCAL = { key: 'local', data_center: 'here', rack: 'one', release_version: '4.0.0', partitioner: 'org.apache.cassandra.dht.Murmur3Partitioner', tokens: ['1'] }

function query (text, isNextPage) {
  if (text.includes('missing_table')) return [OPERATION.ERROR, Buffer.concat([int(INVALID), string('unconfigured table missing_table')])]
  if (text.startsWith('USE')) return [OPERATION.RESULT, Buffer.concat([int(RESULT.KEYSPACE), string('shop')])]
  if (text.includes('system.local')) return rows(LOCAL)
  if (text.includes('system')) return rows({})
  if (text.startsWith('SELECT')) return rows({ name: isNextPage ? 'second' : 'first' }, text.includes('pages') && !isNextPage)
  return [OPERATION.RESULT, int(RESULT.VOID)]
}

function answer (operation, body, statements) {
  switch (operation) {
    case OPERATION.STARTUP: case OPERATION.REGISTER: return [OPERATION.READY, Buffer.alloc(0)]
    case OPERATION.OPTIONS: return [OPERATION.SUPPORTED, short(0)]
    case OPERATION.QUERY: {
      const end = 4 + body.readInt32BE(0)
      return query(body.toString('utf8', 4, end), (body[end + 2] & WITH_PAGING_STATE) !== 0)
    }
    case OPERATION.PREPARE: {
      const text = body.toString('utf8', 4, 4 + body.readInt32BE(0))
      if (text.includes('missing_table')) return query(text)
      const id = String(statements.push(text) - 1)
      const parameters = [int(0), int(1), int(0), columns({ id: '' })]
      return [OPERATION.RESULT, Buffer.concat([int(RESULT.PREPARED), string(id), ...parameters, int(0), int(1), columns({ name: '' })])]
    }
    case OPERATION.EXECUTE: return query(statements[Number(body.toString('utf8', 2, 2 + body.readInt16BE(0)))])
    case OPERATION.BATCH: return [OPERATION.RESULT, int(RESULT.VOID)]
    default: return [OPERATION.ERROR, Buffer.concat([int(10), string('what is that')])]
  }
}

module.exports = () => {
  const statements = []
  return net.createServer(socket => {
    let data = Buffer.alloc(0)
    socket.on('error', () => {}).on('data', chunk => {
      data = Buffer.concat([data, chunk])
      while (data.length >= 9 && data.length >= 9 + data.readInt32BE(5)) {
        const end = 9 + data.readInt32BE(5)
        const [operation, body] = answer(data[4], data.subarray(9, end), statements)
        socket.write(Buffer.concat([Buffer.from([0x84, 0, data[2], data[3], operation]), int(body.length), body]))
        data = data.subarray(end)
      }
    })
  })
}
