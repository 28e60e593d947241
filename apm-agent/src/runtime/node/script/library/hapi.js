// hapi 20 and 21.

libraries.push({
  name: 'hapi',
  package: '@hapi/hapi',
  versions: [20, 21],
  files: { 'lib/request.js': hapiRequest },
  classes: [{ method: '_execute', like: '_postCycle', change: hapiRequest }]
})

function hapiRequest ({ prototype }) {
  hook(prototype, '_execute', request => {
    const transaction = transactions.get(request.raw.req)
    if (!transaction) return
    transaction.routed = () => {
      const { method, fingerprint, path } = request.route
      // hapi answers by routes of its own when it finds none. As Elastic's agent names it: `/items/?` for `/items/{id}`.
      return method === '_special' ? undefined : fingerprint || path
    }
  })
  // When what it answers is decided, and the answer is not out yet. Nothing waits for us.
  hook(prototype, '_postCycle', request => request, (request, decided) => {
    decided.then(() => tellAnswer(request), () => {})
    return decided
  })
  // The channel `error` has what ended in status 500, and nothing else: what goes wrong later than that, too.
  hook(prototype, '_log', (request, [, error, channel]) => {
    if (channel === 'error' && error instanceof Error) tellError(error, true, transactions.get(request.raw.req))
  })
}

function tellAnswer ({ response, raw }) {
  if (!active) return
  try {
    if (response && response.isBoom && response.output.statusCode === 500) tellError(response, true, transactions.get(raw.req))
  } catch (error) {
    bug(error)
  }
}
