// AWS SDK 3: the commands of S3, SQS, SNS and DynamoDB, by the client that all its clients are made from.

libraries.push(
  { name: '@smithy/smithy-client', versions: [2, 4], files: { 'dist-cjs/index.js': awsClient } },
  {
    name: '@smithy/smithy-client',
    package: '@smithy/core',
    versions: [3, 3],
    files: { 'dist-cjs/submodules/client/index.js': awsClient }
  })

const QUEUE_ACTIONS = {
  SendMessage: 'send',
  SendMessageBatch: 'send_batch',
  ReceiveMessage: 'poll',
  DeleteMessage: 'delete',
  DeleteMessageBatch: 'delete_batch'
}

// What a command is, by the service's name of itself; undefined: Elastic's agent does not tell of it.
const SERVICES = {
  S3 (operation, { Bucket }) {
    const bucket = Bucket ? String(Bucket).replace(/^arn:([^:]*:){4}/, '') : ''
    return { library: 's3', name: `S3 ${operation} ${bucket}`, action: operation, bucket }
  },
  DynamoDB (operation, { TableName, KeyConditionExpression }) {
    return { library: 'dynamodb', name: `DynamoDB ${operation} ${TableName || ''}`, action: operation, text: KeyConditionExpression }
  },
  SNS (operation, { TopicArn, TargetArn, PhoneNumber }) {
    if (operation !== 'Publish') return undefined
    const last = (text, mark) => text && String(text).split(mark).pop()
    const topics = [last(TopicArn, ':'), last(TargetArn, /[:/]/), PhoneNumber && '<PHONE_NUMBER>']
    const queue = topics.filter(Boolean).join(', ')
    return { library: 'sns', name: `SNS Publish${queue && ' to '}${queue}`, action: operation, queue }
  },
  SQS (operation, { QueueUrl }) {
    const action = QUEUE_ACTIONS[operation]
    if (!action) return undefined
    const queue = String(QueueUrl || 'unknown').split('/').pop()
    const name = `SQS ${action.toUpperCase()} ${action.startsWith('send') ? 'to' : 'from'} ${queue}`
    return { library: 'sqs', name, action, queue }
  }
}

function awsClient ({ Client: { prototype } }) {
  patch(prototype, 'send', original => function (...args) {
    const pass = () => Reflect.apply(original, this, args)
    let call
    if (active) {
      try { call = beginAws(this, args) } catch (error) { bug(error) }
    }
    if (call === undefined) return pass()
    const result = cover(call.span, pass)
    return result && typeof result.then === 'function' ? settle(result, call.over) : result
  })
}

function beginAws ({ config }, args) {
  const transaction = current()
  const [command] = args
  const describe = SERVICES[config.serviceId]
  if (transaction === undefined || !describe || !command) return undefined
  const { input = {} } = command
  const about = describe(command.constructor.name.replace(/Command$/, ''), input)
  if (about === undefined) return undefined
  const span = new Span(about.library, about.name.trim(), transaction)
  if (about.library === 'dynamodb') askRegion(config, about)
  // The application's own object stays as it is.
  const sent = about.queue === undefined ? input : withTrace(input, carried(transaction, span.id))
  command.input = sent
  const over = error => {
    try {
      if (command.input === sent) command.input = input
      endAws(span, about, error)
    } catch (failure) {
      bug(failure)
    }
  }
  const last = args.length - 1
  if (typeof args[last] === 'function') args[last] = answering(args[last], over)
  return { span, over }
}

// It is known by when the call is over, which needs it, too.
async function askRegion ({ region }, about) {
  try { about.region = typeof region === 'function' ? await region() : region } catch {}
}

// Most attributes of a message.
const MOST = 10

// What is sent, its messages with the trace among their attributes.
function withTrace (input, headers) {
  const ours = {}
  for (let i = 0; i < headers.length; i += 2) {
    if (!headers[i].startsWith('elastic-')) ours[headers[i]] = { DataType: 'String', StringValue: headers[i + 1] }
  }
  const traced = message => {
    const given = (message && message.MessageAttributes) || {}
    const fits = given.traceparent === undefined && Object.keys({ ...given, ...ours }).length <= MOST
    return fits ? { ...message, MessageAttributes: { ...ours, ...given } } : message
  }
  if (Array.isArray(input.Entries)) return { ...input, Entries: input.Entries.map(traced) }
  return input.MessageBody === undefined && input.Message === undefined ? input : traced(input)
}

function endAws (span, { action, bucket, queue, text, region }, error) {
  const { protocol, hostname, port } = span.url ? new URL(span.url) : {}
  const status = error === undefined ? span.status : error.$metadata && error.$metadata.httpStatusCode
  const failed = status === undefined ? error !== undefined : status >= 400
  span.end(failed, failed ? error : undefined, [
    ATTRIBUTE['rpc.method'], action,
    ATTRIBUTE['aws.s3.bucket'], bucket,
    ATTRIBUTE['messaging.destination.name'], queue,
    ATTRIBUTE['db.query.text'], text,
    ATTRIBUTE['db.namespace'], region,
    ATTRIBUTE['http.response.status_code'], status,
    ATTRIBUTE['server.address'], hostname,
    ATTRIBUTE['server.port'], hostname && (port || (protocol === 'https:' ? 443 : 80)),
    ATTRIBUTE['network.local.port'], span.port
  ])
}
