'use strict'
// Messages sent to Kafka in requests, and received. The server is a small one made for the tests.

const http = require('http')
const kafka = require('./kafka_server')

module.exports = async ({ load, attach, listen, get, echo }) => {
  const { Kafka, logLevel } = load('kafkajs')
  const server = kafka()
  const broker = await listen(server)
  const down = await listen(echo())
  const client = new Kafka({ brokers: [`127.0.0.1:${broker}`], logLevel: logLevel.NOTHING, retry: { retries: 0 } })
  const producer = client.producer({ createPartitioner: () => () => 0 })
  await producer.connect()

  // What came, by its text: its headers, and what its handler has called.
  const heard = {}
  const waiting = new Map()
  const come = (text, what) => {
    heard[text] = what
    if (waiting.has(text)) waiting.get(text)()
  }
  const received = texts => Promise.all(texts.map(text => heard[text] || new Promise(resolve => waiting.set(text, resolve))))
  const texts = headers => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
  const one = client.consumer({ groupId: 'one' })
  await one.connect()
  await one.subscribe({ topics: ['orders', 'returns'], fromBeginning: true })
  await one.run({
    eachMessage: async ({ message }) => {
      const text = String(message.value)
      const { headers } = message
      const { status } = await get(down, `/handled/${text}`, { agent: new http.Agent() })
      come(text, { headers: texts(headers), status })
    }
  })
  const many = client.consumer({ groupId: 'many' })
  await many.connect()
  await many.subscribe({ topics: ['parcels'], fromBeginning: true })
  await many.run({
    eachBatch: async ({ batch }) => {
      await get(down, `/batch`, { agent: new http.Agent() })
      for (const { value, headers } of batch.messages) come(String(value), { headers: texts(headers) })
    }
  })

  const own = { value: 'own', headers: { traceparent: '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-01', own: 'x' } }
  const plain = { value: 'plain' }
  const ways = {
    plain: () => producer.send({ topic: 'orders', messages: [plain] }).then(() => Object.keys(plain).join()),
    headers: () => producer.send({ topic: 'orders', messages: [{ value: 'headers', headers: { own: Buffer.from('x') } }] }),
    own: () => producer.send({ topic: 'orders', messages: [own] }),
    batch: () => producer.sendBatch({ topicMessages: [{ topic: 'orders', messages: [{ value: 'first' }] }, { topic: 'returns', messages: [{ value: 'second' }] }] }),
    parcels: () => producer.sendBatch({ topicMessages: [{ topic: 'parcels', messages: [{ value: 'third' }, { value: 'fourth' }] }] }),
    refused: () => producer.send({ topic: 'refused', messages: [{ value: 'never' }] }).then(() => 'fine', error => error.type)
  }
  const port = await listen(http.createServer(async (request, response) => {
    const answer = await ways[request.url.slice(1)]()
    const offsets = Array.isArray(answer) && answer.map(({ topicName, errorCode }) => [topicName, errorCode])
    response.end(JSON.stringify(offsets || answer))
  }))
  const all = ['plain', 'headers', 'own', 'first', 'second', 'third', 'fourth']
  const ask = async () => {
    for (const text of Object.keys(heard)) delete heard[text]
    const answers = {}
    for (const way of Object.keys(ways)) answers[way] = (await get(port, `/${way}`)).body
    await received(all)
    return { answers, heard: { ...heard } }
  }
  const before = await ask()
  attach()
  const after = await ask()
  await Promise.all([producer.disconnect(), one.disconnect(), many.disconnect()])
  server.close()
  // Attached again, it says what went wrong meanwhile.
  return { status: attach(), before: before.answers, after: after.answers, untouched: before.heard, heard: after.heard }
}
