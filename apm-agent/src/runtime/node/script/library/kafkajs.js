// kafkajs: messages that are sent, by the request that brings them to a broker, and messages that are received, each, or
// each batch, in a transaction of its own.

libraries.push({
  name: 'kafkajs',
  versions: [2, 2],
  files: { 'src/broker/index.js': kafkaBroker, 'src/consumer/runner.js': kafkaRunner },
  classes: [
    { method: 'produce', like: 'offsetFetch', change: kafkaBroker },
    { method: 'processEachMessage', like: 'processEachBatch', change: kafkaRunner },
    { method: 'processEachBatch', like: 'processEachMessage', change: kafkaRunner }
  ]
})

function kafkaBroker ({ prototype }) {
  hook(prototype, 'produce', (_, args) => {
    const transaction = current()
    if (transaction === undefined) return
    const [{ topicData }] = args
    const [topic, another] = new Set(topicData.map(({ topic }) => topic))
    const only = another === undefined ? topic : undefined
    const span = new Span('kafkajs', `Kafka SEND${only === undefined ? '' : ' to ' + only}`, transaction)
    const headers = headersOf(carried(transaction, span.id))
    args[0] = { ...args[0], topicData: topicData.map(data => withHeaders(data, headers)) }
    return error => span.end(error !== undefined, error, kafkaAttributes(only))
  }, (over, result) => settle(result, over))
}

function headersOf (pairs) {
  const headers = {}
  for (let i = 0; i < pairs.length; i += 2) {
    if (!pairs[i].startsWith('elastic-')) headers[pairs[i]] = pairs[i + 1]
  }
  return headers
}

// The application's messages stay as they are, and those that carry a trace carry that.
function withHeaders (data, ours) {
  const traced = message => message.headers && message.headers.traceparent !== undefined
    ? message
    : { ...message, headers: { ...ours, ...message.headers } }
  return { ...data, partitions: data.partitions.map(part => ({ ...part, messages: part.messages.map(traced) })) }
}

function kafkaAttributes (topic) {
  return [ATTRIBUTE['messaging.system'], 'kafka', ATTRIBUTE['messaging.destination.name'], topic]
}

// Notes on runners: how many batches each is at, and the application's function, in whose place ours stands meanwhile.
const handling = notes()

function kafkaRunner ({ prototype }) {
  handle(prototype, 'processEachMessage', 'eachMessage', ({ topic, message }) => [topic, message.headers || {}])
  // The messages of a batch may be of several traces.
  handle(prototype, 'processEachBatch', 'eachBatch', ({ batch }) => [batch.topic, {}])
}

function handle (prototype, method, handler, describe) {
  hook(prototype, method, runner => {
    const at = handling.get(runner) || { batches: 0 }
    handling.set(runner, at)
    if (at.batches++ === 0) {
      at.original = runner[handler]
      runner[handler] = receiving(at.original, describe)
    }
    return () => { if (--at.batches === 0) runner[handler] = at.original }
  }, (over, result) => settle(result, over))
}

function receiving (original, describe) {
  return function (payload) {
    const pass = () => Reflect.apply(original, this, arguments)
    let over
    let transaction
    if (active) {
      try {
        const [topic, { traceparent, tracestate }] = describe(payload)
        transaction = new Transaction({ traceparent: textOfBytes(traceparent), tracestate: textOfBytes(tracestate) })
        const name = `Kafka RECEIVE from ${topic}`
        over = error => {
          try {
            tellReceived(transaction, 'kafkajs', name, error !== undefined, kafkaAttributes(topic))
          } catch (failure) {
            bug(failure)
          }
        }
      } catch (error) {
        bug(error)
      }
    }
    if (over === undefined) return pass()
    let result
    try {
      result = run(transaction, pass)
    } catch (error) {
      over(error)
      throw error
    }
    if (result && typeof result.then === 'function') return settle(result, over)
    over()
    return result
  }
}

// Of several headers of one name none counts.
function textOfBytes (header) { return typeof header === 'string' || Buffer.isBuffer(header) ? String(header) : undefined }
