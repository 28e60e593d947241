// @elastic/elasticsearch 8 and 9, by the transport both have.

libraries.push({
  name: 'elasticsearch',
  package: '@elastic/transport',
  versions: [8, 9],
  files: { 'lib/Transport.js': elasticsearchTransport },
  classes: [{ method: 'request', like: 'sniff', change: elasticsearchTransport }]
})

// Requests whose body is a query, as Elastic's agent has them by default (`elasticsearch_capture_body_urls`).
const QUERIES = /\/(_search|_search\/template|_msearch|_msearch\/template|_async_search|_count|_sql|_eql\/search)$/

function elasticsearchTransport (exports) {
  const { prototype } = exports.default || exports
  patch(prototype, 'request', original => function (...args) {
    const pass = () => Reflect.apply(original, this, args)
    const transaction = active ? current() : undefined
    const [params] = args
    if (transaction === undefined || !params) return pass()
    const span = new Span('elasticsearch', `Elasticsearch: ${params.method} ${params.path}`, transaction)
    return settle(cover(span, pass), error => {
      try { endElasticsearch(span, params, error) } catch (failure) { bug(failure) }
    })
  })
}

function endElasticsearch (span, params, error) {
  const place = span.url ? new URL(span.url) : {}
  span.end(error !== undefined, error, [
    ATTRIBUTE['db.system.name'], 'elasticsearch',
    ATTRIBUTE['db.query.text'], QUERIES.test(params.path) ? textOfBody(params.body || params.bulkBody) : undefined,
    ATTRIBUTE['http.request.method'], params.method,
    ATTRIBUTE['url.full'], span.url,
    ATTRIBUTE['http.response.status_code'], span.status,
    ATTRIBUTE['server.address'], place.hostname,
    ATTRIBUTE['server.port'], place.port,
    ATTRIBUTE['network.local.port'], span.port
  ])
}

// As it is sent; a stream is not read.
function textOfBody (body) {
  if (typeof body === 'string' || !body) return body
  if (Buffer.isBuffer(body) || typeof body.pipe === 'function') return undefined
  return Array.isArray(body) ? body.map(part => JSON.stringify(part) + '\n').join('') : JSON.stringify(body)
}
