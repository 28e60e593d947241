'use strict'
// A small Elasticsearch made for the tests: it says what it is, as clients want to know, finds nothing, and answers with
// the context it got.

const http = require('http')

module.exports = function elasticsearch () {
  return http.createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', piece => { body += piece }).on('end', () => {
      const missing = request.url.startsWith('/missing')
      response.writeHead(missing ? 404 : 200, { 'X-Elastic-Product': 'Elasticsearch', 'Content-Type': 'application/vnd.elasticsearch+json; compatible-with=8' })
      const error = { type: 'index_not_found_exception', reason: 'no such index [missing]' }
      response.end(JSON.stringify(missing ? { error, status: 404 } : { traceparent: request.headers.traceparent, asked: request.url, hits: { hits: [] } }))
    })
  })
}
