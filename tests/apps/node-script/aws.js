'use strict'
// Ways to ask AWS by its SDK, one request each. The server is a small one made for the tests.

const http = require('http')
const aws = require('./aws_server')

module.exports = async ({ load, attach, listen, get, echo }) => {
  const { S3, S3Client, GetObjectCommand, PutObjectCommand } = load('@aws-sdk/client-s3')
  const { SQSClient, ...sqs } = load('@aws-sdk/client-sqs')
  const { SNSClient, PublishCommand } = load('@aws-sdk/client-sns')
  const { DynamoDBClient, QueryCommand, GetItemCommand } = load('@aws-sdk/client-dynamodb')
  const heard = []
  const place = await listen(aws(heard))
  const down = await listen(echo())
  const options = { region: 'eu-test-1', endpoint: `http://127.0.0.1:${place}`, credentials: { accessKeyId: 'a', secretAccessKey: 'b' } }
  const storage = new S3Client({ ...options, forcePathStyle: true })
  const older = new S3({ ...options, forcePathStyle: true })
  const queue = new SQSClient(options)
  const topics = new SNSClient(options)
  const tables = new DynamoDBClient(options)
  const QueueUrl = `http://127.0.0.1:${place}/000000000000/orders`
  const TopicArn = 'arn:aws:sns:eu-test-1:000000000000:shop'
  // Sent again and again.
  const same = new sqs.SendMessageCommand({ QueueUrl, MessageBody: 'same', MessageAttributes: { own: { DataType: 'String', StringValue: 'x' } } })
  const many = count => Object.fromEntries(Array.from({ length: count }, (_, at) => [`a${at}`, { DataType: 'String', StringValue: 'x' }]))
  const content = async answer => (await answer).Body.transformToString()
  const failed = error => [error.name, error.$metadata.httpStatusCode]

  const ways = {
    get: () => content(storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'one' }))),
    // What is called when its body comes is none of its own.
    streamed: async () => {
      const { Body } = await storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'slow' }))
      return new Promise(resolve => Body.resume().once('end', () => resolve(get(down, '/down', { agent: new http.Agent() }).then(({ status }) => status))))
    },
    put: () => storage.send(new PutObjectCommand({ Bucket: 'goods', Key: 'two', Body: 'text' })).then(() => 'put'),
    callback: () => new Promise((resolve, reject) => {
      storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'three' }), (error, answer) => error ? reject(error) : resolve(content(answer)))
    }),
    aggregated: () => content(older.getObject({ Bucket: 'goods', Key: 'four' })),
    missing: () => storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'missing' })).then(() => 'fine', failed),
    unchanged: () => storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'same' })).then(() => 'fine', error => failed(error)[1]),
    again: () => content(storage.send(new GetObjectCommand({ Bucket: 'goods', Key: 'again' }))),
    send: async () => {
      const { input } = same
      const { MessageId } = await queue.send(same)
      return [MessageId, Object.keys(input.MessageAttributes), same.input === input]
    },
    batch: async () => {
      const entry = (Id, attributes) => ({ Id, MessageBody: Id, MessageAttributes: attributes })
      const Entries = [entry('first'), entry('second', many(8)), entry('third', many(9))]
      return (await queue.send(new sqs.SendMessageBatchCommand({ QueueUrl, Entries }))).Successful.map(({ Id }) => Id)
    },
    receive: async () => (await queue.send(new sqs.ReceiveMessageCommand({ QueueUrl }))).Messages.map(({ Body }) => Body),
    remove: async () => Object.keys(await queue.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle: 'r' }))),
    // Nothing is told of it but its HTTP.
    purge: async () => Object.keys(await queue.send(new sqs.PurgeQueueCommand({ QueueUrl }))),
    publish: async () => (await topics.send(new PublishCommand({ TopicArn, Message: 'message' }))).MessageId,
    phone: async () => (await topics.send(new PublishCommand({ PhoneNumber: '+10000000', Message: 'message' }))).MessageId,
    query: async () => (await tables.send(new QueryCommand({ TableName: 'items', KeyConditionExpression: 'id = :id', ExpressionAttributeValues: { ':id': { S: '1' } } }))).Items,
    item: () => tables.send(new GetItemCommand({ TableName: 'nowhere', Key: { id: { S: '1' } } })).then(() => 'fine', failed),
    // What is called afterwards is told.
    then: async () => {
      await queue.send(new sqs.ReceiveMessageCommand({ QueueUrl }))
      return (await get(down, '/down', { agent: new http.Agent() })).status
    }
  }
  const port = await listen(http.createServer(async (request, response) => {
    const way = request.url.slice(1)
    heard.splice(0)
    const answer = await ways[way]()
    response.end(JSON.stringify({ answer, heard }))
  }))
  const ask = async () => {
    const answers = {}
    const requests = {}
    for (const way of Object.keys(ways)) {
      const { answer, heard } = (await get(port, `/${way}`)).body
      answers[way] = answer
      requests[way] = heard
    }
    return { answers, requests }
  }
  const before = await ask()
  attach()
  const after = await ask()
  // Attached again, it says what went wrong meanwhile.
  return { status: attach(), before: before.answers, after: after.answers, requests: after.requests, place }
}
