'use strict'
// A small AWS made for the tests: it answers what the scenario asks S3, SQS, SNS and DynamoDB, checks no signature, keeps
// nothing, and says what came.

const { createHash } = require('crypto')
const http = require('http')

const md5 = text => createHash('md5').update(text).digest('hex')
const xml = text => `<?xml version="1.0" encoding="UTF-8"?>${text}`

// SQS and DynamoDB say in a header what is asked, and in JSON what with.
function json (target, body) {
  switch (target) {
    case 'SendMessage': return { MessageId: '1', MD5OfMessageBody: md5(body.MessageBody) }
    case 'SendMessageBatch': return { Successful: body.Entries.map(({ Id, MessageBody }) => ({ Id, MessageId: Id, MD5OfMessageBody: md5(MessageBody) })), Failed: [] }
    case 'ReceiveMessage': return { Messages: [{ MessageId: '1', ReceiptHandle: 'r', Body: 'body', MD5OfBody: md5('body') }] }
    case 'Query': return { Count: 1, ScannedCount: 1, Items: [{ id: { S: '1' } }] }
    default: return {}
  }
}

module.exports = function aws (heard) {
  const failures = new Map()
  return http.createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks).toString()
      const target = (request.headers['x-amz-target'] || '').split('.').pop()
      heard.push({ target: target || `${request.method} ${request.url}`, body, traceparent: request.headers.traceparent })
      const answer = (status, type, text) => response.writeHead(status, { 'Content-Type': type }).end(text)
      if (target === 'GetItem') {
        return answer(400, 'application/x-amz-json-1.0', JSON.stringify({ __type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException', message: 'no such table' }))
      }
      if (target) return answer(200, 'application/x-amz-json-1.0', JSON.stringify(json(target, JSON.parse(body))))
      if (request.headers['content-type'] === 'application/x-www-form-urlencoded') {
        return answer(200, 'text/xml', xml('<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>'))
      }
      if (request.url.includes('/missing')) return answer(404, 'application/xml', xml('<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>'))
      if (request.url.includes('/same')) return response.writeHead(304).end()
      // The first time it is busy.
      if (request.url.includes('/again') && failures.set(request.url, !failures.get(request.url)).get(request.url)) {
        return answer(503, 'application/xml', xml('<Error><Code>SlowDown</Code><Message>slow down</Message></Error>'))
      }
      if (request.url.includes('/slow')) {
        response.write('con')
        return setTimeout(() => response.end('tent'), 20)
      }
      answer(200, 'text/plain', request.method === 'GET' ? 'content' : '')
    })
  })
}
