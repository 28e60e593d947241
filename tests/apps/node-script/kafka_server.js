'use strict'
// A small Kafka made for the tests (<https://kafka.apache.org/protocol>): one broker, each topic one partition that keeps
// the batches it got, and groups of one member.

const net = require('net')

class Reader {
  constructor (bytes) { this.bytes = bytes; this.at = 0 }
  take (length) { return this.bytes.subarray(this.at, this.at += length) }
  short () { return this.take(2).readInt16BE() }
  int () { return this.take(4).readInt32BE() }
  long () { return Number(this.take(8).readBigInt64BE()) }
  string () { const length = this.short(); return length < 0 ? null : this.take(length).toString() }
  blob () { return this.take(Math.max(0, this.int())) }
  list (read) { return Array.from({ length: Math.max(0, this.int()) }, () => read(this)) }
}

const short = value => { const bytes = Buffer.alloc(2); bytes.writeInt16BE(value); return bytes }
const int = value => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(value); return bytes }
const long = value => { const bytes = Buffer.alloc(8); bytes.writeBigInt64BE(BigInt(value)); return bytes }
const string = value => Buffer.concat([short(Buffer.byteLength(value)), Buffer.from(value)])
const blob = bytes => Buffer.concat([int(bytes.length), bytes])
const list = values => Buffer.concat([int(values.length), ...values])
const all = (...values) => Buffer.concat(values)

const named = read => reader => [reader.string(), reader.list(read)]

// In a batch of records the number of the last one counts from the first (at 23); the first's own is not in its checksum.
const COUNT = 23

// What each request is by its number, and the version of it that is spoken.
const VERSIONS = { 0: 3, 1: 4, 2: 1, 3: 1, 8: 2, 9: 1, 10: 0, 11: 0, 12: 0, 13: 0, 14: 0, 18: 0 }

module.exports = function kafka () {
  const topics = new Map()
  const member = 'member'

  function append (topic, batch) {
    const log = topics.get(topic) || topics.set(topic, { batches: [], end: 0 }).get(topic)
    const base = log.end
    const kept = Buffer.from(batch)
    kept.writeBigInt64BE(BigInt(base), 0)
    log.end += kept.readInt32BE(COUNT) + 1
    log.batches.push({ end: log.end, kept })
    return base
  }

  const after = (topic, offset) => (topics.get(topic) || { batches: [] }).batches.filter(({ end }) => end > offset).map(({ kept }) => kept)
  const end = topic => topics.has(topic) ? topics.get(topic).end : 0

  // Answers by the number of the request.
  const answers = {
    0: (reader) => {
      reader.string(); reader.short(); reader.int()
      const asked = reader.list(named(part => [part.int(), part.blob()]))
      return all(list(asked.map(([topic, parts]) => all(string(topic), list(parts.map(([number, batch]) => {
        const refused = topic === 'refused'
        return all(int(number), short(refused ? 29 : 0), long(refused ? -1 : append(topic, batch)), long(-1))
      }))))), int(0))
    },
    1: (reader) => {
      reader.take(17)
      const asked = reader.list(named(part => [part.int(), part.long(), part.int()]))
      const found = asked.map(([topic, parts]) => all(string(topic), list(parts.map(([number, offset]) =>
        all(int(number), short(0), long(end(topic)), long(end(topic)), int(0), blob(all(...after(topic, offset))))))))
      const empty = asked.every(([topic, parts]) => parts.every(([, offset]) => end(topic) <= offset))
      return [all(int(0), list(found)), empty ? 20 : 0]
    },
    2: (reader) => {
      reader.int()
      const asked = reader.list(named(part => [part.int(), part.long()]))
      return list(asked.map(([topic, parts]) => all(string(topic), list(parts.map(([number, time]) =>
        all(int(number), short(0), long(-1), long(time === -2 ? 0 : end(topic))))))))
    },
    3: (reader, port) => {
      const asked = reader.list(names => names.string())
      const broker = all(int(1), string('127.0.0.1'), int(port), short(-1))
      const partition = all(short(0), int(0), int(1), list([int(1)]), list([int(1)]))
      return all(list([broker]), int(1), list(asked.map(topic => all(short(0), string(topic), Buffer.from([0]), list([partition])))))
    },
    8: (reader) => {
      reader.string(); reader.int(); reader.string(); reader.long()
      const asked = reader.list(named(part => [part.int(), part.long(), part.string()]))
      return list(asked.map(([topic, parts]) => all(string(topic), list(parts.map(([number]) => all(int(number), short(0)))))))
    },
    9: (reader) => {
      reader.string()
      const asked = reader.list(named(part => part.int()))
      return list(asked.map(([topic, parts]) => all(string(topic), list(parts.map(number => all(int(number), long(-1), string(''), short(0)))))))
    },
    10: (_, port) => all(short(0), int(1), string('127.0.0.1'), int(port)),
    11: (reader) => {
      reader.string(); reader.int(); reader.string(); reader.string()
      const [[protocol, metadata]] = reader.list(part => [part.string(), part.blob()])
      return all(short(0), int(1), string(protocol), string(member), string(member), list([all(string(member), blob(metadata))]))
    },
    12: () => short(0),
    13: () => short(0),
    14: (reader) => {
      reader.string(); reader.int(); reader.string()
      const [[, assignment]] = reader.list(part => [part.string(), part.blob()])
      return all(short(0), blob(assignment))
    },
    18: () => all(short(0), list(Object.entries(VERSIONS).map(([key, version]) => all(short(Number(key)), short(version), short(version)))), int(0))
  }

  const server = net.createServer(socket => {
    let data = Buffer.alloc(0)
    socket.on('error', () => {}).on('data', chunk => {
      data = all(data, chunk)
      while (data.length >= 4 && data.length >= 4 + data.readInt32BE(0)) {
        const reader = new Reader(data.subarray(4, 4 + data.readInt32BE(0)))
        data = data.subarray(4 + data.readInt32BE(0))
        const [key, , correlation] = [reader.short(), reader.short(), reader.int()]
        reader.string()
        const answer = answers[key](reader, server.address().port)
        const [body, delay] = Array.isArray(answer) ? answer : [answer, 0]
        const reply = () => { if (!socket.destroyed) socket.write(blob(all(int(correlation), body))) }
        if (delay) setTimeout(reply, delay)
        else reply()
      }
    })
  })
  return server
}
