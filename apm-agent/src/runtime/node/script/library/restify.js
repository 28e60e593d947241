// restify 11 and 12.

libraries.push({
  name: 'restify',
  versions: [11, 12],
  files: { 'lib/router.js': restifyRouter, 'lib/server.js': restifyServer },
  classes: [
    { method: 'lookup', like: 'mount', change: restifyRouter },
    { method: '_onRequest', like: '_onHandlerError', change: restifyServer }
  ]
})

function restifyRouter ({ prototype }) {
  hook(prototype, 'lookup', (router, [request]) => request, (request, handler) => {
    const transaction = transactions.get(request)
    if (transaction && handler && request.route) transaction.route = request.route.path
    return handler
  })
}

function restifyServer ({ prototype }) {
  hook(prototype, '_onHandlerError', (server, [error, request, response, isUncaught]) => {
    if (error) tellError(error, !isUncaught, transactions.get(request))
  })
}
